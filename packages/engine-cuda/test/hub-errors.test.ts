import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainDiskError } from '../src/hub/errors';
import { HubError, type ResolveOptions, resolveFile, resolveModel } from '../src/hub/index';
import { parseFileReference, parseRepository } from '../src/hub/reference';
import { FakeHub } from './support/fake-hub';

let hub: FakeHub;
let cacheDir: string;
let options: ResolveOptions;
const files = {
  'config.json': { dim: 1 },
  'model.safetensors': Buffer.from('lm'),
  'tokenizer-e351c8d8-checkpoint125.safetensors': Buffer.from('mimi'),
  'tokenizer_spm_32k_3.model': 'spm',
};

beforeEach(async () => {
  hub = await FakeHub.start();
  cacheDir = await mkdtemp(join(tmpdir(), 'moshi-hub-'));
  options = { endpoint: hub.endpoint, cacheDir, token: false, offline: false, retryDelayMs: 1, retries: 1 };
});

afterEach(async () => {
  await hub.stop();
  await rm(cacheDir, { recursive: true, force: true });
});

const failure = async (ref: string, more: ResolveOptions = {}): Promise<HubError> => {
  const error = await resolveModel(ref, { ...options, ...more }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HubError);
  expect((error as HubError).message).not.toContain('\n');
  return error as HubError;
};

describe('the token', () => {
  it('goes to the endpoint and never to the storage host', async () => {
    hub.add('kyutai/tiny', files);
    await resolveModel('kyutai/tiny', { ...options, token: 'secret' });
    const toHub = hub.requests.filter(({ host }) => host === 'hub');
    const toStorage = hub.requests.filter(({ host }) => host === 'storage');
    expect(toHub.every(({ authorization }) => authorization === 'Bearer secret')).toBe(true);
    expect(toStorage.length).toBeGreaterThanOrEqual(2);
    expect(toStorage.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('is not sent when there is none', async () => {
    hub.add('kyutai/tiny', files);
    await resolveModel('kyutai/tiny', options);
    expect(hub.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('comes from HF_TOKEN or the token file', async () => {
    hub.add('kyutai/tiny', files, true);
    const before = { ...process.env };
    try {
      process.env.HF_HOME = cacheDir;
      process.env.HF_TOKEN = '';
      await writeFile(join(cacheDir, 'token'), 'good\n');
      await resolveModel('kyutai/tiny', { ...options, token: undefined, cacheDir: undefined });
      expect(await readdir(join(cacheDir, 'hub'))).toEqual(['models--kyutai--tiny']);
      process.env.HF_TOKEN = 'bad';
      process.env.HF_HUB_CACHE = join(cacheDir, 'other');
      expect((await failure('kyutai/tiny', { token: undefined, cacheDir: undefined })).code).toBe('gated');
    } finally {
      for (const name of ['HF_HOME', 'HF_TOKEN', 'HF_HUB_CACHE']) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
  });
});

describe('what the hub refuses', () => {
  it('gated: says where to accept the licence', async () => {
    hub.add('nvidia/gated', files, true);
    const error = await failure('nvidia/gated');
    expect(error.code).toBe('gated');
    expect(error.message).toBe(
      `this model is gated: accept its licence at ${hub.endpoint}/nvidia/gated, create a token, set HF_TOKEN.`,
    );
    expect((await failure('nvidia/gated', { token: 'stranger' })).message).toContain('accept its licence');
    await resolveModel('nvidia/gated', { ...options, token: 'good' });
  });

  it('unknown model, revision or file: names it and suggests a look at the spelling', async () => {
    hub.add('kyutai/tiny', { 'config.json': {}, 'readme.md': 'x' });
    for (const token of [false, 'good'] as const) {
      const error = await failure('kyutai/tyny', { token });
      expect(error.code).toBe('not-found');
      expect(error.message).toMatch(/no model kyutai\/tyny: check the spelling/);
    }
    expect((await failure('kyutai/tiny@v9')).message).toMatch(/no revision "v9": check the spelling/);
    const error = await failure('kyutai/tiny');
    expect(error.code).toBe('missing-file');
    expect(error.message).toMatch(/kyutai\/tiny has no .*model\.safetensors.*moshi_name/);
    expect(hub.gets('readme.md')).toEqual([]);
  });

  it('fetches no large file when another one is missing', async () => {
    const { 'tokenizer_spm_32k_3.model': _, ...incomplete } = files;
    hub.add('kyutai/tiny', incomplete);
    expect((await failure('kyutai/tiny')).message).toContain('tokenizer_spm_32k_3.model');
    expect(hub.requests.filter(({ method }) => method === 'GET')).toHaveLength(1);
  });
});

describe('no network', () => {
  it('says so, and that a folder works', async () => {
    await hub.stop();
    const error = await failure('kyutai/tiny');
    expect(error.code).toBe('network');
    expect(error.message).toMatch(/ECONNREFUSED.*a model folder .* works without/);
    hub = await FakeHub.start();
  });

  it('wanted: names the file that is not in the cache', async () => {
    const error = await failure('kyutai/tiny', { offline: true });
    expect(error.code).toBe('offline');
    expect(error.message).toMatch(/config\.json of kyutai\/tiny is not in .*HF_HUB_OFFLINE/);
    hub.add('kyutai/tiny', files);
    await resolveFile('kyutai/tiny', 'config.json', options);
    expect((await failure('kyutai/tiny', { offline: true })).message).toContain('tokenizer_spm_32k_3.model of');
    expect(hub.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });
});

describe('disk trouble', () => {
  it('is foreseen when the hub announces more than fits', async () => {
    hub.add('kyutai/tiny', files).files.get('model.safetensors')!.announcedSize = 999_999_999_999_999;
    const error = await failure('kyutai/tiny');
    expect(error).toMatchObject({ code: 'disk', message: expect.stringMatching(/it needs 1000\.0 TB more.*HF_HOME/) });
  });

  it('is explained when a write fails', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    expect(explainDiskError(full, 'model.safetensors', '/cache')).toMatchObject({
      code: 'disk',
      message: expect.stringMatching(/model\.safetensors in \/cache: no space left.*HF_HOME/),
    });
    const other = new Error('other');
    expect(explainDiskError(other, 'f', '/cache')).toBe(other);
  });
});

describe('hostile names', () => {
  const hostile = [
    '../../etc/passwd',
    '/etc/passwd',
    '..',
    '.',
    'a/../../b',
    'a//b',
    'a/',
    'C:\\x',
    '..\\x',
    'a\\..\\..\\b',
    'C:x',
    '\0',
    'file:///etc/passwd',
    'hf://kyutai/tiny/../../x',
    'hf://kyutai/tiny',
    'hf://../x/y',
    'hf://a/b/',
    'x'.repeat(600),
    7,
    {},
    ['a'],
    true,
  ];

  it.each(hostile)('%j in a config is refused before anything is fetched', async (name) => {
    for (const key of ['moshi_name', 'mimi_name', 'tokenizer_name', 'mimi_config_name', 'lora_name']) {
      hub.add('evil/model', { ...files, 'config.json': { [key]: name } });
      hub.requests.length = 0;
      const error = await failure('evil/model');
      expect(error.code).toBe('bad-config');
      expect(error.message).toContain(key);
      expect(hub.requests.filter(({ url }) => !url.endsWith('/config.json') && url.includes('passwd'))).toEqual([]);
    }
  });

  it('of any kind never leave the folder', () => {
    let state = 12345;
    const random = (n: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % n;
    };
    const alphabet = ['.', '..', '/', '\\', 'a', ':', 'hf://', 'file://', '\0', '%2e', '~', ' ', 'b.safetensors', '@'];
    for (let i = 0; i < 20_000; i++) {
      const name = Array.from({ length: 1 + random(6) }, () => alphabet[random(alphabet.length)]).join('');
      try {
        const { path } = parseFileReference(name, 'moshi_name');
        expect(join('/root', path).startsWith('/root/')).toBe(true);
        expect(path.split(/[\\/]/)).not.toContain('..');
      } catch (error) {
        expect(error).toBeInstanceOf(HubError);
      }
    }
  });

  it('of models are refused', async () => {
    for (const ref of ['../x', 'a/b/c', 'a', '', '-a/b', 'a/b--c', 'a b/c', 'a/b@../../x', 'a/b@', '~nobody/x/y']) {
      expect(parseRepository(ref)).toBeUndefined();
      expect((await failure(ref)).code).toBe('bad-reference');
    }
    expect(hub.requests).toEqual([]);
  });

  it('of the hub itself (commit, etag) are refused', async () => {
    hub.add('evil/model', files).commit = '../../../x';
    expect((await failure('evil/model')).code).toBe('server');
    hub.add('evil/model', files).files.get('model.safetensors')!.announcedSha256 = '../../../../x';
    expect((await failure('evil/model')).code).toBe('server');
  });

  it('a config that is no JSON object is an error that names the file', async () => {
    for (const config of ['{', '[]', 'null', '"x"', '']) {
      hub.add('evil/model', { ...files, 'config.json': config });
      const error = await failure('evil/model');
      expect(error.code).toBe('bad-config');
      expect(error.message).toContain('config.json');
    }
    hub.add('evil/model', { ...files, 'config.json': `{"a":"${'x'.repeat(2 << 20)}"}` });
    expect((await failure('evil/model')).message).toContain('too large');
  });

  it('an endpoint that is no address is an error', async () => {
    expect((await failure('kyutai/tiny', { endpoint: 'not an address' })).message).toContain('HF_ENDPOINT');
    expect((await failure('kyutai/tiny', { endpoint: 'file:///etc' })).message).toContain('HF_ENDPOINT');
  });
});

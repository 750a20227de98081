import { createHash } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DownloadProgress, type ResolveOptions, resolveFile, resolveMimi, resolveModel } from '../src/hub/index';
import { FakeHub } from './support/fake-hub';

const MIMI = 'tokenizer-e351c8d8-checkpoint125.safetensors';
const TOKENIZER = 'tokenizer_spm_32k_3.model';

function noise(bytes: number, seed: number): Buffer {
  const data = Buffer.alloc(bytes);
  let state = seed;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = state >>> 24;
  }
  return data;
}

const weights = noise(3_000_000, 1);
const codec = noise(400_000, 2);
const pieces = noise(20_000, 3);
/** Comparing megabytes with toEqual takes seconds. */
async function expectBytes(path: string | undefined, content: Buffer): Promise<void> {
  expect((await readFile(path!)).equals(content)).toBe(true);
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

let hub: FakeHub;
let cacheDir: string;
let options: ResolveOptions;

beforeEach(async () => {
  hub = await FakeHub.start();
  cacheDir = await mkdtemp(join(tmpdir(), 'moshi-hub-'));
  options = { endpoint: hub.endpoint, cacheDir, token: false, offline: false, retryDelayMs: 1 };
  hub.add('kyutai/tiny', {
    'config.json': { dim: 64, moshi_name: 'weights/lm.safetensors', mimi_name: 'mimi.safetensors', lora_name: null },
    'weights/lm.safetensors': weights,
    'mimi.safetensors': codec,
    [TOKENIZER]: pieces,
  });
});

afterEach(async () => {
  await hub.stop();
  await rm(cacheDir, { recursive: true, force: true });
});

describe('a fresh download', () => {
  it('brings every file of the model and says where it lies', async () => {
    const files = await resolveModel('kyutai/tiny', options);
    const { commit } = hub.repositories.get('kyutai/tiny')!;
    const root = join(cacheDir, 'models--kyutai--tiny', 'snapshots', commit);
    expect(files).toEqual({
      root,
      config: { dim: 64, moshi_name: 'weights/lm.safetensors', mimi_name: 'mimi.safetensors', lora_name: null },
      configPath: join(root, 'config.json'),
      lmWeights: join(root, 'weights/lm.safetensors'),
      mimiWeights: join(root, 'mimi.safetensors'),
      tokenizer: join(root, TOKENIZER),
    });
    await expectBytes(files.lmWeights, weights);
    await expectBytes(files.mimiWeights, codec);
    await expectBytes(files.tokenizer, pieces);
  });

  it("leaves the layout of Python's huggingface_hub and nothing else", async () => {
    const files = await resolveModel('kyutai/tiny', options);
    const { commit } = hub.repositories.get('kyutai/tiny')!;
    const repository = join(cacheDir, 'models--kyutai--tiny');
    expect((await readdir(repository)).sort()).toEqual(['blobs', 'refs', 'snapshots']);
    expect(await readFile(join(repository, 'refs', 'main'), 'utf8')).toBe(commit);
    expect((await lstat(files.lmWeights)).isSymbolicLink()).toBe(true);
    expect(await readlink(files.lmWeights)).toBe(join('..', '..', '..', 'blobs', sha256(weights)));
    expect(await readlink(files.mimiWeights)).toBe(join('..', '..', 'blobs', sha256(codec)));
    const blobs = (await readdir(join(repository, 'blobs'))).sort();
    expect(blobs).toHaveLength(4);
    expect(blobs.every((name) => /^[0-9a-f]{40}([0-9a-f]{24})?$/.test(name))).toBe(true);
    expect(await readdir(dirname(files.lmWeights))).toEqual(['lm.safetensors']);
  });

  it('takes a repository without config.json as the original Moshi 7B', async () => {
    hub.add('nvidia/legacy', { 'model.safetensors': weights, [MIMI]: codec, [TOKENIZER]: pieces });
    const files = await resolveModel('nvidia/legacy', options);
    expect(files.config).toBeNull();
    expect(files.configPath).toBeUndefined();
    expect(basename(files.lmWeights)).toBe('model.safetensors');
    await expectBytes(files.mimiWeights, codec);
    const again = await resolveModel('nvidia/legacy', { ...options, offline: true });
    expect(again).toEqual(files);
  });

  it('follows hf:// names of the config into other repositories', async () => {
    hub.add('kyutai/codec', { 'deep/codec.safetensors': codec, 'mimi.json': { n: 1 }, 'lora.safetensors': pieces });
    hub.add('someone/tuned', {
      'config.json': {
        mimi_name: 'hf://kyutai/codec/deep/codec.safetensors',
        mimi_config_name: 'hf://kyutai/codec/mimi.json',
        lora_name: 'hf://kyutai/codec/lora.safetensors',
      },
      'model.safetensors': weights,
      [TOKENIZER]: pieces,
    });
    const files = await resolveModel('someone/tuned', options);
    expect(files.mimiWeights).toContain(join('models--kyutai--codec', 'snapshots'));
    await expectBytes(files.mimiWeights, codec);
    expect(await readFile(files.mimiConfig!, 'utf8')).toBe('{"n":1}');
    await expectBytes(files.loraWeights!, pieces);
  });

  it('reports progress up to the whole of each file', async () => {
    const seen: DownloadProgress[] = [];
    await resolveModel('kyutai/tiny', { ...options, onProgress: (progress) => seen.push(progress) });
    for (const [file, total] of [
      ['weights/lm.safetensors', weights.length],
      ['mimi.safetensors', codec.length],
    ] as const) {
      const own = seen.filter((progress) => progress.file === file);
      expect(own.length).toBeGreaterThanOrEqual(2);
      expect(own.every((progress) => progress.total === total)).toBe(true);
      expect(own.map((progress) => progress.received)).toEqual(own.map((p) => p.received).sort((a, b) => a - b));
      expect(own.at(-1)!.received).toBe(total);
    }
  });

  it('fetches only the codec, or only one file, when only that is wanted', async () => {
    const mimi = await resolveMimi('kyutai/tiny', options);
    await expectBytes(mimi.mimiWeights, codec);
    expect(hub.gets('lm.safetensors')).toHaveLength(0);
    await expectBytes((await resolveFile('kyutai/tiny', TOKENIZER, options))!, pieces);
    expect(await resolveFile('kyutai/tiny', 'voices.tgz', options)).toBeUndefined();
  });

  it("uses the caller's own files where given", async () => {
    const own = join(cacheDir, 'own.model');
    await writeFile(own, 'mine');
    hub.add('kyutai/codec', { 'c.safetensors': codec });
    const files = await resolveModel('kyutai/tiny', {
      ...options,
      files: { tokenizer: own, mimiWeights: 'hf://kyutai/codec/c.safetensors', lmWeights: 'mimi.safetensors' },
    });
    expect(files.tokenizer).toBe(own);
    expect(files.mimiWeights).toContain('models--kyutai--codec');
    expect(files.lmWeights).toBe(join(files.root, 'mimi.safetensors'));
  });
});

describe('what is in the cache', () => {
  it('is not asked for again', async () => {
    const first = await resolveModel('kyutai/tiny', options);
    hub.requests.length = 0;
    expect(await resolveModel('kyutai/tiny', options)).toEqual(first);
    expect(hub.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  it('serves with no network and offline', async () => {
    const first = await resolveModel('kyutai/tiny', options);
    await hub.stop();
    expect(await resolveModel('kyutai/tiny', options)).toEqual(first);
    expect(await resolveModel('kyutai/tiny', { ...options, offline: true })).toEqual(first);
    hub = await FakeHub.start();
  });

  it('asks nothing at all when offline', async () => {
    await resolveModel('kyutai/tiny', options);
    hub.requests.length = 0;
    await resolveModel('kyutai/tiny', { ...options, offline: true });
    expect(hub.requests).toEqual([]);
  });

  it('follows the branch to a new commit and fetches only what changed', async () => {
    const old = hub.repositories.get('kyutai/tiny')!;
    const first = await resolveModel('kyutai/tiny', options);
    hub.add('kyutai/tiny', { 'config.json': { dim: 65, mimi_name: 'mimi.safetensors' }, 'model.safetensors': weights });
    const now = hub.repositories.get('kyutai/tiny')!;
    for (const name of ['mimi.safetensors', TOKENIZER]) now.files.set(name, old.files.get(name)!);
    hub.requests.length = 0;
    const second = await resolveModel('kyutai/tiny', options);
    expect(second.root).not.toBe(first.root);
    expect(second.config).toEqual({ dim: 65, mimi_name: 'mimi.safetensors' });
    expect(hub.requests.filter(({ method }) => method === 'GET').map(({ url }) => basename(url))).toEqual([
      'config.json',
    ]);
    const pinned = await resolveModel('kyutai/tiny', { ...options, revision: old.commit, offline: true });
    expect(pinned).toEqual(first);
  });

  it('replaces a blob of the wrong length', async () => {
    const files = await resolveModel('kyutai/tiny', options);
    await rm(files.lmWeights);
    await writeFile(join(cacheDir, 'models--kyutai--tiny', 'blobs', sha256(weights)), 'short');
    await resolveModel('kyutai/tiny', options);
    await expectBytes(files.lmWeights, weights);
  });
});

describe('a broken connection', () => {
  it('is resumed with a Range request within the call', async () => {
    hub.mishaps.push({ cutAfter: 1_000_000 });
    const path = await resolveFile('kyutai/tiny', 'weights/lm.safetensors', options);
    await expectBytes(path!, weights);
    const ranges = hub
      .gets('lm.safetensors')
      .filter(({ host }) => host === 'storage')
      .map(({ range }) => range);
    expect(ranges).toHaveLength(2);
    expect(ranges[0]).toBeUndefined();
    const offset = Number(/^bytes=(\d+)-$/.exec(ranges[1] ?? '')?.[1]);
    expect(offset).toBeGreaterThan(0);
    expect(offset).toBeLessThanOrEqual(1_000_000);
  });

  it('is resumed by the next call, even of another process', async () => {
    hub.mishaps.push({ cutAfter: 700_000 });
    const fetchWeights = () => resolveFile('kyutai/tiny', 'weights/lm.safetensors', { ...options, retries: 0 });
    await expect(fetchWeights()).rejects.toThrow(/What arrived is kept: the next try continues there/);
    const part = join(cacheDir, 'models--kyutai--tiny', 'blobs', `${sha256(weights)}.moshi-part`);
    const { size } = await stat(part);
    expect(size).toBeGreaterThan(0);
    await expectBytes((await fetchWeights())!, weights);
    expect(hub.gets('lm.safetensors').at(-1)!.range).toBe(`bytes=${size}-`);
    await expect(stat(part)).rejects.toThrow(/ENOENT/);
  });

  it('starts over when the hub cannot continue', async () => {
    hub.mishaps.push({ cutAfter: 700_000 }, { ignoreRange: true });
    const path = await resolveFile('kyutai/tiny', 'weights/lm.safetensors', options);
    await expectBytes(path!, weights);
    expect(hub.gets('lm.safetensors').filter(({ host }) => host === 'storage')).toHaveLength(2);
  });

  it('is noticed though the body ends as if it were whole', async () => {
    hub.mishaps.push({ endEarly: 5000 });
    await expectBytes(await resolveFile('kyutai/tiny', TOKENIZER, options), pieces);
    expect(hub.gets(TOKENIZER).map(({ range }) => range)).toEqual([undefined, 'bytes=5000-']);
  });

  it('is tried again a bounded number of times', async () => {
    for (let i = 0; i < 50; i++) hub.mishaps.push({ status: 503 });
    await expect(resolveFile('kyutai/tiny', 'mimi.safetensors', { ...options, retries: 3 })).rejects.toMatchObject({
      code: 'server',
      message: expect.stringContaining('503'),
    });
    expect(hub.gets('mimi.safetensors').filter(({ host }) => host === 'storage')).toHaveLength(4);
  });

  it('is noticed when the hub falls silent', async () => {
    hub.hold = new Promise(() => {});
    await expect(
      resolveFile('kyutai/tiny', 'mimi.safetensors', { ...options, retries: 1, stallMs: 150 }),
    ).rejects.toMatchObject({ code: 'network', message: expect.stringContaining('no data for') });
  });
});

describe('damaged content', () => {
  it('with a wrong checksum is fetched once more from zero', async () => {
    hub.mishaps.push({ flipByte: 1000 });
    const path = await resolveFile('kyutai/tiny', 'mimi.safetensors', options);
    await expectBytes(path!, codec);
    const ranges = hub
      .gets('mimi.safetensors')
      .filter(({ host }) => host === 'storage')
      .map(({ range }) => range);
    expect(ranges).toEqual([undefined, undefined]);
  });

  it('twice is an error, and nothing of it stays', async () => {
    hub.mishaps.push({ flipByte: 1000 }, { flipByte: 1000 });
    await expect(resolveFile('kyutai/tiny', 'mimi.safetensors', options)).rejects.toMatchObject({
      code: 'checksum',
      message: expect.stringContaining('arrived damaged'),
    });
    expect(await readdir(join(cacheDir, 'models--kyutai--tiny', 'blobs'))).toEqual([]);
  });

  it('in an earlier part is found and replaced', async () => {
    const blobs = join(cacheDir, 'models--kyutai--tiny', 'blobs');
    await mkdir(blobs, { recursive: true });
    await writeFile(join(blobs, `${sha256(codec)}.moshi-part`), noise(100_000, 99));
    const path = await resolveFile('kyutai/tiny', 'mimi.safetensors', options);
    await expectBytes(path!, codec);
  });

  it.each([-1, 1])('of the wrong size (%i) is an error, for small files too', async (difference) => {
    for (const name of ['mimi.safetensors', TOKENIZER]) {
      const file = hub.repositories.get('kyutai/tiny')!.files.get(name)!;
      file.announcedSize = file.content.length + difference;
      await expect(resolveFile('kyutai/tiny', name, options)).rejects.toMatchObject({ code: 'size' });
    }
    const left = await readdir(join(cacheDir, 'models--kyutai--tiny'), { recursive: true });
    expect(left.filter((name) => /part|lock|[0-9a-f]{40}\//.test(name))).toEqual([]);
  });
});

describe('several callers at once', () => {
  it('share one download', async () => {
    let release = () => {};
    hub.hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const seen: DownloadProgress[] = [];
    const callers = [1, 2, 3].map(() =>
      resolveFile('kyutai/tiny', 'weights/lm.safetensors', {
        ...options,
        onProgress: (progress) => seen.push(progress),
      }),
    );
    await expect.poll(() => seen.some(({ received }) => received > weights.length / 2)).toBe(true);
    release();
    for (const path of await Promise.all(callers)) await expectBytes(path!, weights);
    expect(hub.gets('lm.safetensors').filter(({ host }) => host === 'storage')).toHaveLength(1);
  });

  it('take over the lock of a process that died', async () => {
    const blobs = join(cacheDir, 'models--kyutai--tiny', 'blobs');
    await mkdir(blobs, { recursive: true });
    const lock = join(blobs, `${sha256(codec)}.moshi-lock`);
    await writeFile(lock, JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), id: 'dead' }));
    await expectBytes((await resolveFile('kyutai/tiny', 'mimi.safetensors', options))!, codec);
    await expect(stat(lock)).rejects.toThrow(/ENOENT/);
  });

  it('take over a lock that gave no sign of life, from another machine', async () => {
    const blobs = join(cacheDir, 'models--kyutai--tiny', 'blobs');
    await mkdir(blobs, { recursive: true });
    const lock = join(blobs, `${sha256(codec)}.moshi-lock`);
    await writeFile(lock, JSON.stringify({ pid: 1, host: 'elsewhere', id: 'silent' }));
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(lock, longAgo, longAgo);
    const callers = [1, 2, 3, 4].map(() => resolveFile('kyutai/tiny', 'mimi.safetensors', options));
    for (const path of await Promise.all(callers)) await expectBytes(path!, codec);
    expect(hub.gets('mimi.safetensors').filter(({ host }) => host === 'storage')).toHaveLength(1);
  });
});

describe('cancellation', () => {
  it('ends a running download with the reason and keeps what arrived', async () => {
    hub.hold = new Promise(() => {});
    const abort = new AbortController();
    const call = resolveFile('kyutai/tiny', 'mimi.safetensors', { ...options, signal: abort.signal });
    const part = join(cacheDir, 'models--kyutai--tiny', 'blobs', `${sha256(codec)}.moshi-part`);
    await expect.poll(async () => (await stat(part).catch(() => ({ size: 0 }))).size).toBeGreaterThan(0);
    abort.abort(new Error('enough'));
    await expect(call).rejects.toThrow('enough');
    hub.hold = undefined;
    await expectBytes((await resolveFile('kyutai/tiny', 'mimi.safetensors', options))!, codec);
    expect(hub.gets('mimi.safetensors').at(-1)!.range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('ends waiting for another caller, who goes on', async () => {
    let release = () => {};
    hub.hold = new Promise<void>((resolve) => {
      release = resolve;
    });
    const first = resolveFile('kyutai/tiny', 'mimi.safetensors', options);
    await expect.poll(() => hub.gets('mimi.safetensors').length).toBeGreaterThan(0);
    const second = resolveFile('kyutai/tiny', 'mimi.safetensors', { ...options, signal: AbortSignal.timeout(150) });
    await expect(second).rejects.toThrow(/timeout/);
    release();
    await expectBytes((await first)!, codec);
  });

  it('before the start sends nothing', async () => {
    const signal = AbortSignal.abort(new Error('never mind'));
    await expect(resolveModel('kyutai/tiny', { ...options, signal })).rejects.toThrow('never mind');
    expect(hub.requests).toEqual([]);
  });
});

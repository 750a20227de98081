import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveFile, resolveMimi, resolveModel } from '../src/hub/index';

const MIMI = 'tokenizer-e351c8d8-checkpoint125.safetensors';
const TOKENIZER = 'tokenizer_spm_32k_3.model';
let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'moshi-local-'));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function fill(names: Record<string, string> | string[]): Promise<void> {
  const entries = Array.isArray(names) ? names.map((name) => [name, name] as const) : Object.entries(names);
  for (const [name, content] of entries) {
    await mkdir(join(root, name, '..'), { recursive: true });
    await writeFile(join(root, name), content);
  }
}

describe('a local folder', () => {
  it('with the usual names is taken as it is', async () => {
    await fill({
      'config.json': '{"dim": 64}',
      'model.safetensors': '',
      [MIMI]: '',
      [TOKENIZER]: '',
      'other.model': '',
    });
    expect(await resolveModel(root)).toEqual({
      root,
      config: { dim: 64 },
      configPath: join(root, 'config.json'),
      lmWeights: join(root, 'model.safetensors'),
      mimiWeights: join(root, MIMI),
      tokenizer: join(root, TOKENIZER),
    });
  });

  it('without config.json is the original Moshi 7B', async () => {
    await fill(['model.safetensors', MIMI, TOKENIZER]);
    expect(await resolveModel(root)).toMatchObject({ config: null });
  });

  it('uses the names of its config', async () => {
    const config = {
      moshi_name: 'w/lm.q8.safetensors',
      mimi_name: 'm.safetensors',
      tokenizer_name: 't.model',
      lora_name: 'l.safetensors',
      mimi_config_name: 'm.json',
    };
    await fill({
      'config.json': JSON.stringify(config),
      'm.safetensors': '',
      't.model': '',
      'l.safetensors': '',
      'm.json': '{}',
      'w/lm.q8.safetensors': '',
    });
    expect(await resolveModel(root)).toMatchObject({
      lmWeights: join(root, 'w/lm.q8.safetensors'),
      mimiWeights: join(root, 'm.safetensors'),
      tokenizer: join(root, 't.model'),
      loraWeights: join(root, 'l.safetensors'),
      mimiConfig: join(root, 'm.json'),
    });
  });

  it('takes the only plausible file where the usual name is missing', async () => {
    await fill(['moshiko.q8.safetensors', 'mimi.safetensors', 'spm.model', 'readme.md']);
    expect(await resolveModel(root)).toMatchObject({
      lmWeights: join(root, 'moshiko.q8.safetensors'),
      mimiWeights: join(root, 'mimi.safetensors'),
      tokenizer: join(root, 'spm.model'),
    });
  });

  it('does not guess between two', async () => {
    await fill(['a.safetensors', 'b.safetensors', 'mimi.safetensors', 'spm.model']);
    await expect(resolveModel(root)).rejects.toMatchObject({
      code: 'missing-file',
      message: expect.stringMatching(
        /has no model\.safetensors .*It holds: a\.safetensors, b\.safetensors, mimi.*moshi_name/,
      ),
    });
  });

  it('lists what is missing and what is there', async () => {
    await fill(['model.safetensors', 'notes.txt']);
    const error = await resolveModel(root).catch((reason: Error) => reason);
    expect((error as Error).message).toContain(TOKENIZER);
    expect((error as Error).message).toContain(MIMI);
    expect((error as Error).message).toContain('It holds: model.safetensors, notes.txt.');
  });

  it('does not replace a file that its config names', async () => {
    await fill({
      'config.json': '{"moshi_name": "gone.safetensors"}',
      'other.safetensors': '',
      [MIMI]: '',
      [TOKENIZER]: '',
    });
    await expect(resolveModel(root)).rejects.toThrow(/has no gone\.safetensors/);
  });

  it('is not left through the names of its config', async () => {
    await fill({ 'config.json': '{"moshi_name": "../../etc/passwd"}', [MIMI]: '', [TOKENIZER]: '' });
    await expect(resolveModel(root)).rejects.toMatchObject({ code: 'bad-config' });
  });

  it('gives single files by name', async () => {
    await fill(['voices/a.wav']);
    expect(await resolveFile(root, 'voices/a.wav')).toBe(join(root, 'voices/a.wav'));
    expect(await resolveFile(root, 'voices/b.wav')).toBeUndefined();
    await expect(resolveFile(root, '../b.wav')).rejects.toMatchObject({ code: 'bad-reference' });
  });
});

describe('a codec alone', () => {
  it('is found in a folder with one weights file, or given as that file', async () => {
    await fill({ 'model.safetensors': '', 'config.json': '{"sample_rate": 24000}' });
    expect(await resolveMimi(root)).toMatchObject({
      mimiWeights: join(root, 'model.safetensors'),
      config: { sample_rate: 24000 },
    });
    const file = join(root, 'model.safetensors');
    expect(await resolveMimi(file)).toEqual({ root, config: null, mimiWeights: file });
  });
});

describe('a reference to nothing', () => {
  it('names the cure', async () => {
    await expect(resolveModel(join(root, 'no', 'such', 'folder'))).rejects.toMatchObject({
      code: 'bad-reference',
      message: expect.stringMatching(/there is no folder .*give the path of a folder/),
    });
    await fill(['model.safetensors']);
    await expect(resolveModel(join(root, 'model.safetensors'))).rejects.toThrow(/is a file: give the folder/);
  });
});

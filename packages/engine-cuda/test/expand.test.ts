import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expandCheckpoint } from '../src/expand';

const MIMI = 'tokenizer-e351c8d8-checkpoint125.safetensors';
const TOKENIZER = 'tokenizer_spm_32k_3.model';
const SIZED = { dim: 16, n_q: 16, dep_q: 8, delays: [0, 1], context: 3000 };

let top: string;
let root: string;
const before = process.env.MOSHI_NATIVE;

// The weights themselves are the native part's work, with checks of its own; here it copies, and fails when told to.
beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'moshi-expand-'));
  const native = join(top, 'native.cjs');
  await writeFile(
    native,
    `const fs = require('node:fs/promises');
    exports.expandCheckpoint = async (lm, out) => {
      const text = await fs.readFile(lm, 'utf8');
      await fs.writeFile(out, 'expanded ' + text);
      if (text === 'bad') throw Object.assign(new Error('bad weights'), { code: 'ENGINE_BAD_FILE' });
    };`,
  );
  process.env.MOSHI_NATIVE = native;
});
afterAll(async () => {
  if (before === undefined) delete process.env.MOSHI_NATIVE;
  else process.env.MOSHI_NATIVE = before;
  await rm(top, { recursive: true, force: true });
});
beforeEach(async () => {
  root = await mkdtemp(join(top, 'case-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function model(config: object | undefined, files: Record<string, string> = {}): Promise<string> {
  const folder = join(root, 'in');
  await mkdir(folder, { recursive: true });
  const all = { 'model.safetensors': 'weights', [MIMI]: 'mimi', [TOKENIZER]: 'tokenizer', ...files };
  for (const [name, content] of Object.entries(all)) await writeFile(join(folder, name), content);
  if (config) await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

const out = () => join(root, 'out');
const config = async () => JSON.parse(await readFile(join(out(), 'config.json'), 'utf8'));

describe('expandCheckpoint', () => {
  it('writes a whole model with the published names and config', async () => {
    await expandCheckpoint(await model(undefined), out());
    expect((await readdir(out())).sort()).toEqual(['config.json', 'model.safetensors', MIMI, TOKENIZER].sort());
    expect(await config()).toEqual({ model_type: 'personaplex', version: '7b-v1' });
    expect(await readFile(join(out(), 'model.safetensors'), 'utf8')).toBe('expanded weights');
    expect(await readFile(join(out(), MIMI), 'utf8')).toBe('mimi');
    expect((await readdir(root)).sort()).toEqual(['in', 'out']);
  });

  it('keeps sizes, doubles what is generated, and gives other names up', async () => {
    const names = {
      moshi_name: 'lm.safetensors',
      mimi_name: 'm.safetensors',
      tokenizer_name: 't.model',
      mimi_config_name: 'm.json',
    };
    const files = { 'lm.safetensors': 'lm', 'm.safetensors': 'm', 't.model': 't', 'm.json': '{"m": 1}' };
    await expandCheckpoint(await model({ ...SIZED, ...names, model_type: 'moshi' }, files), out());
    expect(await config()).toEqual({
      ...SIZED,
      dep_q: 16,
      model_type: 'personaplex',
      version: '7b-v1',
      mimi_config_name: 'mimi_config.json',
    });
    expect(await readFile(join(out(), 'model.safetensors'), 'utf8')).toBe('expanded lm');
    expect(await readFile(join(out(), MIMI), 'utf8')).toBe('m');
    expect(await readFile(join(out(), TOKENIZER), 'utf8')).toBe('t');
    expect(await readFile(join(out(), 'mimi_config.json'), 'utf8')).toBe('{"m": 1}');
  });

  it('holds real files where the source has links, as the cache does, and takes an empty folder', async () => {
    const folder = await model(SIZED);
    await rm(join(folder, MIMI));
    await writeFile(join(root, 'blob'), 'mimi of the cache');
    await symlink(join('..', 'blob'), join(folder, MIMI));
    await mkdir(out());
    await expandCheckpoint(folder, out());
    await rm(join(root, 'blob'));
    expect(await readFile(join(out(), MIMI), 'utf8')).toBe('mimi of the cache');
    expect((await stat(join(out(), TOKENIZER))).isFile()).toBe(true);
  });

  it.each<[string, object, Record<string, string>, RegExp]>([
    ['PersonaPlex', { model_type: 'personaplex', version: '7b-v1' }, {}, /PersonaPlex model already: use it as it is/],
    ['all codebooks', { ...SIZED, dep_q: 16 }, {}, /all codebooks already/],
    ['speech-to-text', { ...SIZED, dep_q: 0 }, {}, /it generates 0 of 16 codebooks/],
    ['no numbers', { dim: 16 }, {}, /config\.json has no dep_q and n_q/],
    ['a schedule', { ...SIZED, depformer_weights_per_step_schedule: [0] }, {}, /shares weights/],
    ['an adapter', { ...SIZED, lora_name: 'l.safetensors' }, { 'l.safetensors': '' }, /LoRA adapter/],
    ['GGUF', { ...SIZED, moshi_name: 'm.gguf' }, { 'm.gguf': '' }, /not GGUF/],
  ])('refuses %s', async (_, settings, files, message) => {
    await expect(expandCheckpoint(await model(settings, files), out())).rejects.toMatchObject({
      code: 'ENGINE_BAD_MODEL',
      message: expect.stringMatching(message),
    });
    expect(await readdir(root)).toEqual(['in']);
  });

  it('leaves nothing behind when it fails, and takes nothing away', async () => {
    await expect(expandCheckpoint(await model(SIZED, { 'model.safetensors': 'bad' }), out())).rejects.toMatchObject({
      name: 'EngineError',
      code: 'ENGINE_BAD_FILE',
    });
    expect(await readdir(root)).toEqual(['in']);
    const good = await model(SIZED);
    const signal = AbortSignal.abort();
    await expect(expandCheckpoint(good, out(), { signal })).rejects.toMatchObject({ name: 'AbortError' });
    expect(await readdir(root)).toEqual(['in']);
    await mkdir(out());
    await writeFile(join(out(), 'precious'), 'x');
    for (const [target, message] of [
      [out(), /holds files already/],
      [join(out(), 'precious'), /it is a file/],
      [join(root, 'no', 'such'), /make it first/],
    ] as const) {
      await expect(expandCheckpoint(good, target)).rejects.toMatchObject({
        code: 'ENGINE_BAD_OPTION',
        message: expect.stringMatching(message),
      });
    }
    expect(await readdir(out())).toEqual(['precious']);
    await expect(expandCheckpoint(join(root, 'nothing'), join(root, 'other'))).rejects.toMatchObject({
      name: 'HubError',
    });
  });
});

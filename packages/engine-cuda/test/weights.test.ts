import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeWav } from '@moshi/protocol/audio';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  defaultModel,
  evaluate,
  loadEngine,
  QUANTIZE_TYPES,
  type QuantizeProgress,
  quantizeCheckpoint,
  resolveModel,
} from '../src';
import { fixture, speech } from './support/audio';
import { FakeHub } from './support/fake-hub';

let top: string;
let folder: string;
let audio: string;
const before = process.env.MOSHI_CACHE;

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'moshi-weights-'));
  audio = join(top, 'speech.wav');
  await writeFile(audio, writeWav(speech(30)));
});
afterAll(() => rm(top, { recursive: true, force: true }));
beforeEach(async () => {
  folder = await mkdtemp(join(top, 'model-'));
});
afterEach(() => {
  if (before === undefined) delete process.env.MOSHI_CACHE;
  else process.env.MOSHI_CACHE = before;
});

/** The embedded model in a folder of its own; its weights have another name, or are left out. */
async function model(weights?: string): Promise<string> {
  const source = await defaultModel();
  for (const name of ['mimi.safetensors', 'mimi_config.json', 'tokenizer.model'])
    await copyFile(join(source, name), join(folder, name));
  const config = JSON.parse(await readFile(join(source, 'config.json'), 'utf8'));
  if (weights === undefined) await copyFile(join(source, 'model.safetensors'), join(folder, 'model.safetensors'));
  else config.moshi_name = weights;
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

/** What the model says to a recording, drawn with a seed. */
async function answer(options: Parameters<typeof loadEngine>[0]): Promise<number[]> {
  const engine = await loadEngine(options);
  const session = await engine.open({ seed: 5 });
  const samples: number[] = [];
  await new Promise<void>((resolve, reject) => {
    let frames = 0;
    session.on('error', reject);
    session.on('frame', ({ pcm }) => {
      samples.push(...(pcm ?? []));
      if (++frames === 10) resolve();
    });
    session.push(speech(10));
  });
  await engine.close();
  return samples;
}

describe('quantizeCheckpoint', () => {
  // Cosines of the hidden states the untrained model keeps; more bits keep more.
  it.each([
    ['f32', 0.999999],
    ['bf16', 0.999],
    ['f16', 0.99999],
    ['q8', 0.999],
    ['q8_0', 0.999],
    ['mixed', 0.9],
    ['q4', 0.9],
    ['q4_k', 0.9],
    ['q4_0', 0.9],
  ] as const)('writes %s as GGUF, which is loaded like any model', async (type, cosine) => {
    const out = join(await model('weights.gguf'), 'weights.gguf');
    const seen: QuantizeProgress[] = [];
    const done = await quantizeCheckpoint(await defaultModel(), out, { type, onQuantize: (now) => seen.push(now) });
    expect(done.bytes).toBe((await stat(out)).size);
    expect(seen.at(-1)!.total).toBeGreaterThan(1_000_000);
    expect(seen.at(-1)!.done).toBe(seen.at(-1)!.total);
    const report = await evaluate({ model: folder, weights: 'stored', against: await defaultModel(), audio });
    expect(report.hidden).toBeGreaterThan(cosine);
    expect(await answer({ model: folder })).toHaveLength(9 * 1920);
  });

  it('covers every type', () => {
    expect([...QUANTIZE_TYPES].sort()).toEqual(
      ['bf16', 'f16', 'f32', 'mixed', 'q4', 'q4_0', 'q4_k', 'q8', 'q8_0'].sort(),
    );
  });

  it('writes the published int8 form, from which GGUF can be made again', async () => {
    const out = join(await model('model.q8.safetensors'), 'model.q8.safetensors');
    await quantizeCheckpoint(await defaultModel(), out, { type: 'q8' });
    const report = await evaluate({ model: folder, weights: 'stored', against: await defaultModel(), audio });
    expect(report.hidden).toBeGreaterThan(0.999);
    const length = Number((await readFile(out)).readBigUInt64LE(0));
    const header = JSON.parse((await readFile(out)).toString('utf8', 8, 8 + length));
    expect(header['text_linear.weight'].dtype).toBe('I8');
    expect(header['text_linear.weight_scb'].dtype).toBe('F32');
    await quantizeCheckpoint(out, join(folder, 'again.gguf'), { type: 'q8_0' });
    expect((await stat(join(folder, 'again.gguf'))).size).toBeLessThan((await stat(out)).size * 1.2);
  });

  it('is found by its name alone', async () => {
    await model('x.gguf');
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    delete config.moshi_name;
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await quantizeCheckpoint(await defaultModel(), join(folder, 'any-name.gguf'), { type: 'q8' });
    expect((await resolveModel(folder)).lmWeights).toBe(join(folder, 'any-name.gguf'));
  });

  it('refuses what cannot be, and leaves nothing behind', async () => {
    const source = join(await model(), 'model.safetensors');
    const cases: [string, string, RegExp][] = [
      [source, 'q8', /the file that is read/],
      [join(folder, 'x.bin'), 'q8', /\.gguf or \.safetensors/],
      [join(folder, 'x.safetensors'), 'q4_k', /\.gguf/],
      [join(folder, 'x.gguf'), 'q5', /none of q8/],
      [join(folder, 'none', 'x.gguf'), 'q8', /make it first/],
    ];
    const held = (await readdir(folder)).sort();
    for (const [out, type, message] of cases) {
      await expect(quantizeCheckpoint(folder, out, { type: type as 'q8' }), message.source).rejects.toMatchObject({
        code: 'ENGINE_BAD_OPTION',
        message: expect.stringMatching(message),
      });
    }
    const aborted = quantizeCheckpoint(folder, join(folder, 'x.gguf'), { type: 'q4', signal: AbortSignal.abort('no') });
    await expect(aborted).rejects.toBe('no');
    const controller = new AbortController();
    const stopped = quantizeCheckpoint(folder, join(folder, 'x.gguf'), { type: 'q4', signal: controller.signal });
    setTimeout(() => controller.abort(new Error('stop')), 5);
    await expect(stopped).rejects.toThrow('stop');
    expect((await readdir(folder)).sort()).toEqual(held);
  });

  it('refuses a LoRA repository', async () => {
    await model();
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    await copyFile(join(fixture('lm-lora-tiny'), 'lora.safetensors'), join(folder, 'lora.safetensors'));
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, lora_name: 'lora.safetensors' }));
    await expect(quantizeCheckpoint(folder, join(folder, 'x.gguf'), { type: 'q8' })).rejects.toMatchObject({
      code: 'ENGINE_BAD_MODEL',
    });
  });
});

describe('weights quantized at load', () => {
  const made = () => join(folder, '.moshi', 'model.q8.gguf');

  it('are kept beside the model, and the next load reads them', async () => {
    await model();
    let quantized = 0;
    const options = { model: folder, weights: 'q8' as const, onQuantize: () => void quantized++ };
    const first = await answer(options);
    expect(quantized).toBeGreaterThan(0);
    const { mtimeMs, ino } = await stat(made());
    quantized = 0;
    expect(await answer(options)).toEqual(first);
    expect(quantized).toBe(0);
    expect(await stat(made())).toMatchObject({ mtimeMs, ino });
    expect(await answer({ model: folder })).not.toEqual(first);

    // It is the file that is read: with another's weights it speaks otherwise.
    await answer({ model: folder, weights: 'q4' });
    expect((await readdir(join(folder, '.moshi'))).sort()).toEqual(['model.q4.gguf', 'model.q8.gguf']);
    const whole = await readFile(made());
    for (let i = whole.length >> 1; i < whole.length; i += 997) whole[i] = whole[i]! ^ 0x55;
    await writeFile(made(), whole);
    expect(await answer(options)).not.toEqual(first);
    expect(quantized).toBe(0);

    await writeFile(made(), whole.subarray(0, whole.length >> 1));
    expect(await answer(options)).toEqual(first);
    expect(quantized).toBeGreaterThan(0);

    quantized = 0;
    await utimes(join(folder, 'model.safetensors'), 1e9, 1e9);
    expect(await answer(options)).toEqual(first);
    expect(quantized).toBeGreaterThan(0);
  });

  it('are kept elsewhere where the model cannot be written beside, or not at all', async () => {
    await model();
    await writeFile(join(folder, '.moshi'), 'in the way');
    process.env.MOSHI_CACHE = join(folder, 'cache');
    const first = await answer({ model: folder, weights: 'q8' });
    const [name] = await readdir(join(folder, 'cache', 'weights'));
    expect(await readdir(join(folder, 'cache', 'weights', name!))).toEqual(['model.q8.gguf']);

    process.env.MOSHI_CACHE = join(folder, '.moshi');
    expect(await answer({ model: folder, weights: 'q8' })).toEqual(first);
    expect(await readFile(join(folder, '.moshi'), 'utf8')).toBe('in the way');
  });

  it('are not made of small, quantized or adapted models', async () => {
    await answer({ model: await model() });
    await answer({ model: folder, weights: 'bf16' });
    await quantizeCheckpoint(folder, join(folder, 'weights.gguf'), { type: 'q4' });
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, moshi_name: 'weights.gguf' }));
    await answer({ model: folder, weights: 'q8' });
    await expect(stat(join(folder, '.moshi'))).rejects.toThrow();
    await expect(loadEngine({ weights: 'q5' as 'q8' })).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
  });

  it('are expanded like others', async () => {
    await model();
    const options = { model: folder, weights: 'q8' as const, expand: true };
    const first = await answer(options);
    expect((await stat(made())).size).toBeLessThan((await stat(join(folder, 'model.safetensors'))).size);
    await rm(join(folder, '.moshi'), { recursive: true });
    await writeFile(join(folder, '.moshi'), '');
    process.env.MOSHI_CACHE = join(folder, '.moshi');
    expect(await answer(options)).toEqual(first);
  });

  it('can be stopped', async () => {
    await model();
    const controller = new AbortController();
    const loading = loadEngine({ model: folder, weights: 'q4', threads: 1, signal: controller.signal });
    setTimeout(() => controller.abort(new Error('stop')), 10);
    await expect(loading).rejects.toThrow('stop');
    await expect(stat(join(folder, '.moshi', 'model.q4.gguf'))).rejects.toThrow();
  });
});

describe('repositories of other programs', () => {
  it.each(['model.q4.safetensors', 'model.q8.gguf'])('are found by %s where the hub cannot list', async (name) => {
    const hub = await FakeHub.start();
    try {
      const cacheDir = await mkdir(join(folder, 'hub'), { recursive: true });
      hub.add('kyutai/other', {
        [name]: Buffer.from('weights'),
        'tokenizer-e351c8d8-checkpoint125.safetensors': Buffer.from('mimi'),
        'tokenizer_spm_32k_3.model': Buffer.from('pieces'),
      });
      const options = { endpoint: hub.endpoint, cacheDir, token: false as const, offline: false };
      expect(await readFile((await resolveModel('kyutai/other', options)).lmWeights, 'utf8')).toBe('weights');
    } finally {
      await hub.stop();
    }
  });
});

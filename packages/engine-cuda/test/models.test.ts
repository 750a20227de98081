import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModel, loadEngine, loadMimi, loadTokenizer } from '../src';
import { writeDefaultModel } from '../src/default-model';
import { MIMI_CONFIG, type MimiConfig, mimiTensors } from '../src/default-model/checkpoint';
import { encodeSafetensors } from '../src/default-model/safetensors';
import { expectedTensor, fixture, speech } from './support/audio';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-models-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the Mimi codec', () => {
  it('gives the reference codes and sound', async () => {
    const { copyFile, mkdir } = await import('node:fs/promises');
    const model = join(folder, 'mimi');
    await mkdir(model);
    await copyFile(join(fixture('mimi-tiny'), 'model.safetensors'), join(model, 'mimi.safetensors'));
    await copyFile(join(fixture('mimi-tiny'), 'config.json'), join(model, 'mimi_config.json'));
    await writeFile(
      join(model, 'config.json'),
      '{"mimi_name":"mimi.safetensors","mimi_config_name":"mimi_config.json"}',
    );
    const mimi = await loadMimi({ model });
    const audio = expectedTensor('mimi-tiny', 'audio');
    const codes = expectedTensor('mimi-tiny', 'codes');
    const { codes: got, frames } = await mimi.encode(Float32Array.from(audio.values), codes.shape[1]);
    expect(frames).toBe(codes.shape[2]);
    expect([...got]).toEqual(codes.values);
    const pcm = expectedTensor('mimi-tiny', 'pcm').values;
    const decoded = await mimi.decode(got, codes.shape[1]!);
    const error = decoded.reduce((most, v, i) => Math.max(most, Math.abs(v - pcm[i]!)), 0);
    expect(error / Math.max(...pcm.map(Math.abs))).toBeLessThan(1e-4);
    mimi.close();
    await expect(mimi.encode(new Float32Array(10))).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
  });

  it('refuses codes and counts that do not exist', async () => {
    const mimi = await loadMimi();
    await expect(mimi.decode(Int32Array.from([1, 2, 99999, 3]), 2)).rejects.toThrow(/code 99999/);
    await expect(mimi.decode(Int32Array.from([-1]), 1)).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    await expect(mimi.decode(new Int32Array(7), 2)).rejects.toThrow(/multiple/);
    await expect(mimi.encode(new Float32Array(10), 99)).rejects.toThrow(/codebooks is 99/);
    expect((await mimi.encode(new Float32Array(0))).frames).toBe(0);
    mimi.close();
  });

  it('runs at the real size, with random weights under the published names', async () => {
    const real: MimiConfig = {
      ...MIMI_CONFIG,
      seanet: { ...MIMI_CONFIG.seanet, dimension: 512, n_filters: 64 },
      quantizer: { dimension: 256, n_q: 32, bins: 2048, input_dimension: 512, output_dimension: 512 },
      transformer: {
        ...MIMI_CONFIG.transformer,
        d_model: 512,
        num_heads: 8,
        num_layers: 8,
        dim_feedforward: 2048,
        input_dimension: 512,
        output_dimensions: [512],
      },
    };
    const model = await mkdtemp(join(folder, 'real-'));
    // The name and the absence of a config are those of the published repositories.
    await writeFile(
      join(model, 'tokenizer-e351c8d8-checkpoint125.safetensors'),
      encodeSafetensors(mimiTensors(5, real)),
    );
    const mimi = await loadMimi({ model });
    expect(mimi.codebooks).toBe(32);
    const { codes, frames } = await mimi.encode(speech(4), 8);
    expect(frames).toBe(4);
    expect(new Set(codes).size).toBeGreaterThan(8);
    const pcm = await mimi.decode(codes, 8);
    expect(pcm).toHaveLength(4 * 1920);
    expect(pcm.every(Number.isFinite)).toBe(true);
    expect(pcm.some((v) => Math.abs(v) > 1e-3)).toBe(true);
    mimi.close();
  }, 120_000);
});

describe('the tokenizer', () => {
  it('encodes and decodes as the reference', async () => {
    const tokenizer = loadTokenizer(join(fixture('sentencepiece'), 'tokenizer_nfkc.model'));
    const { cases } = JSON.parse(await readFile(join(fixture('sentencepiece'), 'cases_nfkc.json'), 'utf8'));
    for (const { text, ids, decoded } of cases) {
      expect([...tokenizer.encode(text)]).toEqual(ids);
      expect(tokenizer.decode(Int32Array.from(ids))).toBe(decoded);
    }
    expect(() => tokenizer.decode(Int32Array.from([tokenizer.size]))).toThrow(/vocabulary/);
  });

  it('takes lone surrogates and refuses other files', () => {
    const tokenizer = loadTokenizer(join(fixture('sentencepiece'), 'tokenizer.model'));
    expect(tokenizer.decode(tokenizer.encode('a\ud800b'))).toContain('\ufffd');
    expect(() => loadTokenizer(join(fixture('sentencepiece'), 'cases.json'))).toThrowError(
      expect.objectContaining({ code: 'ENGINE_BAD_FILE' }),
    );
    expect(() => loadTokenizer(join(folder, 'nothing.model'))).toThrow(/cannot open/);
  });
});

describe('the embedded model', () => {
  it('is made the same everywhere', async () => {
    const made = await mkdtemp(join(folder, 'made-'));
    await writeDefaultModel(made);
    const hash = async (name: string) =>
      createHash('sha256')
        .update(await readFile(join(made, name)))
        .digest('hex')
        .slice(0, 16);
    expect({
      lm: await hash('model.safetensors'),
      mimi: await hash('mimi.safetensors'),
      tokenizer: await hash('tokenizer.model'),
    }).toMatchInlineSnapshot(`
      {
        "lm": "fd3e35c52ca0f1ed",
        "mimi": "5d2ad2f1fe77c365",
        "tokenizer": "2412ba436c671502",
      }
    `);
  });

  it('is made once by callers that come together', async () => {
    const before = process.env.MOSHI_CACHE;
    process.env.MOSHI_CACHE = await mkdtemp(join(folder, 'cache-'));
    try {
      const all = await Promise.all([defaultModel(), defaultModel(), defaultModel()]);
      expect(new Set(all).size).toBe(1);
      expect(all[0]?.startsWith(process.env.MOSHI_CACHE)).toBe(true);
    } finally {
      if (before === undefined) delete process.env.MOSHI_CACHE;
      else process.env.MOSHI_CACHE = before;
    }
  });
});

describe('a broken model', () => {
  const broken = async (change: (files: Map<string, Buffer>) => void): Promise<string> => {
    const target = await mkdtemp(join(folder, 'broken-'));
    const source = await defaultModel();
    const files = new Map<string, Buffer>();
    for (const name of [
      'config.json',
      'model.safetensors',
      'mimi.safetensors',
      'mimi_config.json',
      'tokenizer.model',
    ]) {
      files.set(name, await readFile(join(source, name)));
    }
    change(files);
    for (const [name, bytes] of files) await writeFile(join(target, name), bytes);
    return target;
  };
  const edit = (files: Map<string, Buffer>, name: string, change: (json: Record<string, unknown>) => void) => {
    const json = JSON.parse(files.get(name)!.toString());
    change(json);
    files.set(name, Buffer.from(JSON.stringify(json)));
  };
  const cases: [string, (files: Map<string, Buffer>) => void, RegExp][] = [
    [
      'a truncated file',
      (f) => f.set('model.safetensors', f.get('model.safetensors')!.subarray(0, 5000)),
      /model\.safetensors/,
    ],
    [
      'text for weights',
      (f) => f.set('model.safetensors', Buffer.from('<html>not found</html>')),
      /not a safetensors file/,
    ],
    [
      'a config for other weights',
      (f) => edit(f, 'config.json', (c) => (c.dim = 256)),
      /norm1\.alpha' is \[1, 1, 128\], the config needs 256 values/,
    ],
    ['more layers than weights', (f) => edit(f, 'config.json', (c) => (c.num_layers = 5)), /transformer\.layers\.4/],
    ['an unknown norm', (f) => edit(f, 'config.json', (c) => (c.norm = 'strange')), /strange/],
    ['a codec of another size', (f) => edit(f, 'config.json', (c) => (c.card = 1024)), /emb\.0\.weight/],
    ['a speech-to-text model', (f) => edit(f, 'config.json', (c) => (c.dep_q = 0)), /speech-to-text/],
    ['a broken tokenizer', (f) => f.set('tokenizer.model', Buffer.from('hello')), /SentencePiece/],
    ['a broken config', (f) => f.set('mimi_config.json', Buffer.from('{"seanet": [')), /not valid JSON/],
  ];
  for (const [what, change, message] of cases) {
    it(`is refused by name: ${what}`, async () => {
      await expect(loadEngine({ model: await broken(change) })).rejects.toThrow(message);
    });
  }
});

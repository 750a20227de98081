import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { lmConfig } from '../src/default-model/checkpoint';
import { planCards } from '../src/plan/cards';
import { fileModel, shapeOf } from '../src/plan/file-model';
import { parameters, SHAPES, sum } from '../src/plan/shapes';
import { card, machine } from './support/machines';
import { PERSONAPLEX_BYTES, sparseModel } from './support/sparse-model';

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

// Moshi's own.
const MOSHIKO = {
  ...{ dim: 4096, text_card: 32_000, existing_text_padding_id: 3, n_q: 16, dep_q: 8, card: 2048 },
  ...{ num_heads: 32, num_layers: 32, hidden_scale: 4.125, causal: true, layer_scale: null, context: 3000 },
  ...{ max_period: 10_000, gating: 'silu', norm: 'rms_norm_f32', positional_embedding: 'rope' },
  ...{ depformer_dim: 1024, depformer_dim_feedforward: 4224, depformer_num_heads: 16, depformer_num_layers: 6 },
  ...{ depformer_multi_linear: true, depformer_context: 8, depformer_weights_per_step: true },
};
// A model that only listens.
const STT = {
  ...{ dim: 2048, text_card: 8000, n_q: 32, dep_q: 0, card: 2048, num_heads: 16, num_layers: 16, context: 750 },
  ...{ extra_heads_num_heads: 4, extra_heads_dim: 6, depformer_dim: 1024, depformer_num_layers: 6 },
};

describe('the shape in a config.json', () => {
  it('is that of the published models', () => {
    expect(shapeOf(MOSHIKO)).toEqual(SHAPES['moshi-7b']);
    expect(shapeOf({ model_type: 'personaplex' })).toEqual(SHAPES['personaplex-7b']);
    expect(shapeOf({ ...MOSHIKO, model_type: 'personaplex' })).toEqual(SHAPES['personaplex-7b']);
    expect(shapeOf({ ...MOSHIKO, dep_q: 16 })).toEqual(SHAPES['personaplex-7b']);
    expect(shapeOf(STT)).toEqual(SHAPES['stt-1b']);
  });

  it('is that of the embedded model', () => {
    expect(shapeOf(lmConfig(1000))).toMatchObject({
      ...{ layers: 4, dim: 128, hidden: 352, heads: 4, context: 250, textIn: 1001, textOut: 1000 },
      depth: { layers: 2, dim: 64, hidden: 176, stored: 8, steps: 8 },
    });
  });

  it('counts depth weights that steps share once', () => {
    const schedule = { depformer_weights_per_step_schedule: [0, 1, 2, 3, 4, 4, 4, 4] };
    expect(shapeOf({ ...MOSHIKO, ...schedule })!.depth).toMatchObject({ steps: 8, sets: 5 });
    expect(shapeOf({ ...MOSHIKO, depformer_weights_per_step: false })!.depth).toMatchObject({ sets: 1 });
  });

  it.each([
    ['no object', 'moshi'],
    ['a size missing', { ...MOSHIKO, context: undefined }],
    ['a size that is none', { ...MOSHIKO, dim: -1 }],
    ['a size without end', { ...MOSHIKO, num_layers: 1e300 }],
    ['no depth transformer where one is used', { ...MOSHIKO, depformer_dim: null }],
  ])('is unknown with %s', (_, config) => expect(shapeOf(config)).toBeUndefined());
});

describe('a model in files', () => {
  const model = async (bytes: number, config: object) => {
    const folder = await sparseModel(bytes, config);
    folders.push(folder);
    return fileModel('mine', { config: join(folder, 'config.json'), lm: join(folder, 'model.safetensors') });
  };
  const RTX_4090 = machine([card('RTX 4090', '8.9', 24, 1008)]);

  it('has the bits of its weights by their size', async () => {
    const { name, shape } = (await model(PERSONAPLEX_BYTES, { model_type: 'personaplex' }))!;
    expect(name).toBe('mine');
    expect(shape.storedBits).toBe(16);
    const stored = planCards(RTX_4090, { name, shape }, { weights: 'stored' })[0]!;
    expect(stored.bytes.weights).toBe(2 * sum(parameters(shape)) + 250e6);
    expect(planCards(RTX_4090, { name, shape })[0]).toMatchObject({ model: 'mine', weights: 'bf16', slots: 5 });
  });

  it('that holds floats of 32 bits needs twice as much as stored', async () => {
    const wide = (await model(2 * PERSONAPLEX_BYTES, { model_type: 'personaplex' }))!;
    expect(planCards(RTX_4090, wide, { weights: 'stored' })).toEqual([]);
    expect(planCards(RTX_4090, wide)[0]).toMatchObject({ weights: 'bf16' });
  });

  it('that is quantized stays as it is, whatever is asked for', async () => {
    const bytes = Math.round((sum(parameters(SHAPES['moshi-7b'])) * 4.5) / 8);
    const small = (await model(bytes, MOSHIKO))!;
    const [own] = planCards(RTX_4090, small);
    expect(own).toMatchObject({ weights: 'stored', kv: 'f16', bytes: { weights: bytes + 250e6 } });
    expect(planCards(RTX_4090, small, { weights: 'bf16' })[0]!.bytes).toMatchObject({ weights: bytes + 250e6 });
  });

  it('without a config is the first Moshi, and with a broken one nothing is known', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-file-'));
    folders.push(folder);
    const lm = join(folder, 'model.safetensors');
    const config = join(folder, 'config.json');
    await writeFile(lm, '');
    await writeFile(config, '{');
    expect((await fileModel('a', { config: '', lm }))!.shape).toMatchObject({ ...SHAPES['moshi-7b'], storedBits: 0 });
    expect(await fileModel('a', { config, lm })).toBeNull();
  });
});

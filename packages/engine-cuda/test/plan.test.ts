import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EngineError, type Hardware, outlook, plan, planDevices, planOverridesFromEnv } from '../src';
import { bandwidthFor, kvBytes, predictMs, weightBytes } from '../src/plan/needs';
import { type Parts, parameters, readParameters, SHAPES, sum } from '../src/plan/shapes';
import { card, MACHINES, machine } from './support/machines';

const DOCS = readFileSync(new URL('../../../docs/hardware.md', import.meta.url), 'utf8');
const PERSONAPLEX = SHAPES['personaplex-7b'];

// Written out by hand: 6 576 668 672 temporal weights, of which 4 429 185 024 feed forward, and 1 111 060 480 others.
const WEIGHTS = { bf16: 15_375_458_304, q8: 8_168_212_224, mixed: 5_953_619_712, q4: 4_879_877_888 };
const MIMI = 250_000_000;
const RESERVE = 512_000_000;
const STATE = 20_000_000;
// 262 144 values a position, 3000 positions; a scale of f16 (f32 on the CPU) for each of 2 x 32 x 32 heads.
const KV = { f16: 1_572_864_000, q8: 798_720_000 };

describe('shapes', () => {
  it('have the published numbers of weights', () => {
    expect(sum(parameters(SHAPES['moshi-7b']))).toBe(7_687_729_152);
    expect(sum(parameters(PERSONAPLEX, 16))).toBe(8_371_408_896);
    expect(sum(parameters(PERSONAPLEX))).toBe(7_687_729_152);
    expect(readParameters(PERSONAPLEX)).toEqual({
      attention: 32 * 67_108_864,
      feedForward: 32 * 138_412_032,
      rest: 131_072_000 + 8 * (77_070_336 + 4_194_304 + 2_097_152),
    });
    expect(sum(readParameters(PERSONAPLEX, 16))).toBe(8_041_529_344);
    expect(sum(readParameters(PERSONAPLEX))).toBe(7_374_635_008);
    expect(sum(readParameters(SHAPES['stt-1b'])) / 1e9).toBeCloseTo(0.81, 2);
    expect(sum(readParameters(SHAPES['stt-2.6b'])) / 1e9).toBeCloseTo(2.4, 1);
  });

  it('read these bytes a frame', () => {
    const gigabytes = (parts: Parts, form: 'bf16' | 'q8' | 'mixed' | 'q4') => weightBytes(parts, form) / 1e9;
    const read = [16, 8].map((steps) => readParameters(PERSONAPLEX, steps));
    expect(read.map((parts) => gigabytes(parts, 'bf16').toFixed(3))).toEqual(['16.083', '14.749']);
    expect(read.map((parts) => gigabytes(parts, 'q8').toFixed(3))).toEqual(['8.544', '7.836']);
    expect(read.map((parts) => gigabytes(parts, 'q4').toFixed(3))).toEqual(['5.256', '4.547']);
    expect(gigabytes(read[1]!, 'mixed').toFixed(2)).toBe('5.62');
    expect(gigabytes(parameters(PERSONAPLEX, 16), 'bf16').toFixed(2)).toBe('16.74');
    expect(gigabytes(parameters(PERSONAPLEX, 16), 'q8').toFixed(2)).toBe('8.89');
    for (const form of ['bf16', 'q8', 'mixed', 'q4'] as const) {
      expect(weightBytes(parameters(PERSONAPLEX), form)).toBe(WEIGHTS[form]);
    }
  });

  it.each([
    ['stt-1b', 1_024_358_528],
    ['stt-2.6b', 2_700_261_504],
    ['tts-1.6b', 1_633_790_848],
  ] as const)('%s weighs what the CPU engine packs of it in q8, but for its norms', (model, packed) => {
    const weighed = weightBytes(parameters(SHAPES[model]), 'q8');
    expect(Math.abs(weighed / packed - 1)).toBeLessThan(1e-4);
  });

  it('remember 262 144 values a position', () => {
    const at = (kv: 'f32' | 'f16' | 'q8', context: number) => kvBytes(PERSONAPLEX, { kv, context }, 'cuda:0');
    expect(at('f32', 1)).toBe(4 * 262_144);
    expect(at('f16', 3000)).toBe(KV.f16);
    expect(at('q8', 3000)).toBe(KV.q8);
    expect(kvBytes(PERSONAPLEX, { kv: 'q8', context: 1 }, 'cpu')).toBe(262_144 + 2048 * 4);
  });

  it('predict bytes over 0.8 of the bandwidth, and 1.3 µs a kernel', () => {
    const place = { device: 'cuda:0', freeBytes: 24e9, bandwidth: 1008e9, threads: 0 } as const;
    const form = { weights: 'q8', kv: 'f16', context: 3000 } as const;
    const bytes = weightBytes(readParameters(PERSONAPLEX), 'q8') + KV.f16 + 200e6;
    const kernels = 8 * 32 + 8 * 33 + 150;
    expect(predictMs(PERSONAPLEX, form, place, 1)).toBeCloseTo(bytes / (0.8 * 1008e6) + 0.0013 * kernels + 0.2, 9);
    expect(predictMs(PERSONAPLEX, form, { ...place, bandwidth: null }, 1)).toBeNull();
    const enough = bandwidthFor(PERSONAPLEX, form, place, 60);
    expect(predictMs(PERSONAPLEX, form, { ...place, bandwidth: enough }, 1)).toBeCloseTo(60, 9);
  });
});

describe('a plan for personaplex-7b', () => {
  it.each(MACHINES)('$name', ({ hardware, runs }) => {
    if (typeof runs === 'string') {
      expect(() => plan(hardware, 'personaplex-7b')).toThrow(runs);
      return;
    }
    const [device, weights, kv, slots] = runs;
    const made = plan(hardware, 'personaplex-7b');
    expect(made).toMatchObject({ device, weights, kv, slots, context: 3000, keepsUp: true });
    expect(made.bytes.total).toBe(WEIGHTS[weights] + MIMI + slots * (KV[kv] + STATE) + RESERVE);
    expect(made.bytes).toMatchObject({ weights: WEIGHTS[weights] + MIMI, kvPerSlot: KV[kv], reserve: RESERVE });
    const { freeBytes } = device === 'cpu' ? hardware.memory : hardware.gpus[Number(device.slice(5))]!.memory;
    expect(made.bytes.total).toBeLessThanOrEqual(freeBytes);
    expect(made.predictedMs).toBeLessThanOrEqual(60);
    expect(made.reasons.length).toBeGreaterThan(0);
  });

  it.each(MACHINES)('$name is in docs/hardware.md', ({ name, hardware, runs }) => {
    if (typeof runs === 'string') return expect(DOCS).toContain(`| ${name} | – |`);
    const { bytes, predictedMs } = plan(hardware, 'personaplex-7b');
    const [device, ...form] = runs;
    const figures = `${(bytes.total / 1e9).toFixed(1)} GB | ${predictedMs!.toFixed(0)} ms`;
    expect(DOCS).toContain(`| ${name} | \`${device}\` | ${form.join(' | ')} | ${figures} |`);
  });
});

const named = (name: string): Hardware => MACHINES.find((one) => one.name === name)!.hardware;

describe('a plan', () => {
  it('says why', () => {
    expect(plan(named('RTX 2070 8 GB'), 'personaplex-7b').reasons).toEqual([
      '8.3 GB free: q4/q8 mixed, int8 KV, context 3000, 1 session in 7.5 GB',
      'q8, int8 KV, context 3000 would need 9.7 GB',
      '4 bits can be heard: compare with `moshi eval`',
      'one more session would need 8.4 GB',
    ]);
    expect(plan(named('L4 24 GB'), 'personaplex-7b').reasons).toEqual([
      '23.9 GB free: q8, f16 KV, context 3000, 3 sessions in 13.7 GB',
      'bf16, f16 KV, context 3000 would take 70 ms a frame, and 32 is the limit',
      'one more session would take 62 ms a frame',
    ]);
  });

  it('takes a shorter context last', () => {
    const tight = card('a small card', '8.9', 6.2, 300);
    expect(plan(machine([tight]), 'personaplex-7b')).toMatchObject({
      weights: 'q4',
      kv: 'q8',
      context: 2500,
      slots: 1,
    });
  });

  it('is made for each device', () => {
    expect(planDevices(named('two RTX 3090'), 'moshi-7b').map(({ device }) => device)).toEqual(['cuda:0', 'cuda:1']);
    expect(plan(named('two RTX 3090'), 'moshi-7b', { device: 'cuda:1' }).device).toBe('cuda:1');
    const unlike = machine([card('RTX 2070', '7.5', 8, 448), card('RTX 4090', '8.9', 24, 1008)]);
    expect(plan(unlike, 'moshi-7b').device).toBe('cuda:1');
  });

  it('passes over a GPU that cannot be used', () => {
    const { device, reasons } = plan(named('driver too old'), 'stt-1b');
    expect(device).toBe('cpu');
    expect(reasons.at(-1)).toContain('install driver 384 or newer');
    const kepler = machine([card('Tesla P100', '6.0', 16, 732)]);
    expect(plan(kepler, 'stt-1b').reasons.at(-1)).toContain('below 6.1');
  });

  it('promises nothing where the bandwidth is unknown', () => {
    const unknown = plan(machine([], { gbps: null }), 'personaplex-7b');
    expect(unknown).toMatchObject({ device: 'cpu', weights: 'q8', slots: 1, predictedMs: null, keepsUp: null });
    expect(unknown.reasons.join()).toContain('unknown');
  });

  it('lets a CPU come closer to the limit, and says so', () => {
    const tight = plan(machine([], { gbps: 92 }), 'personaplex-7b');
    expect(tight).toMatchObject({ device: 'cpu', keepsUp: true });
    expect(tight.predictedMs).toBeGreaterThan(60);
    expect(tight.reasons.join()).toMatch(/takes 6\d of its 80 ms/);
  });

  it('refuses with what would run', () => {
    const refused = () => plan(machine([], { gbps: 40 }), 'personaplex-7b');
    expect(refused).toThrow(EngineError);
    expect(refused).toThrow(/reads 40 GB\/s and q4, int8 KV, .* needs \d+ GB\/s\. What would: stt-1b on cpu/);
    expect(() => plan(machine([], { freeBytes: 1e8 }), 'stt-1b')).toThrow('free memory, or take a machine');
  });
});

describe('overrides', () => {
  const big = named('RTX 4090 24 GB');

  it('win', () => {
    expect(plan(big, 'personaplex-7b', { weights: 'q4' })).toMatchObject({ weights: 'q4', kv: 'f16' });
    expect(plan(big, 'personaplex-7b', { kv: 'f32', context: 1000 })).toMatchObject({ kv: 'f32', context: 1000 });
    expect(plan(big, 'personaplex-7b', { slots: 8 })).toMatchObject({ weights: 'q8', kv: 'f16', slots: 8 });
    expect(plan(big, 'personaplex-7b', { slots: 14 })).toMatchObject({ weights: 'q8', kv: 'q8', slots: 14 });
    expect(plan(big, 'personaplex-7b', { reservedBytes: 9e9 })).toMatchObject({ weights: 'q8' });
    const slow = plan(machine([], { gbps: 40 }), 'personaplex-7b', { device: 'cpu', weights: 'q8' });
    expect(slow).toMatchObject({ device: 'cpu', weights: 'q8', slots: 1, keepsUp: false });
    expect(slow.reasons.join()).toContain('sound will break up');
  });

  it('of the estimates count', () => {
    const { bytes } = plan(big, 'personaplex-7b', { paramsBillions: 10, perBatchItemMB: 500 });
    expect(bytes.perSlot).toBe(500e6);
    expect(Math.abs(bytes.weights - 20e9 - MIMI)).toBeLessThan(10);
  });

  it('that are impossible name the plan that would fit', () => {
    const small = named('RTX 2070 8 GB');
    expect(() => plan(small, 'personaplex-7b', { weights: 'bf16' })).toThrow(
      /cannot run as asked: cuda:0 has 8\.3 GB free and bf16, .* needs 16\.6 GB.*What would: personaplex-7b on cuda:0 \(q4\/q8 mixed/,
    );
    expect(() => plan(small, 'personaplex-7b', { slots: 200 })).toThrow('What would: personaplex-7b on cuda:0');
    expect(() => plan(small, 'personaplex-7b', { device: 'cuda:3' })).toThrow('this machine has cuda:0, cpu');
  });

  it.each([
    [{ device: 'gpu' as 'cpu' }, 'device'],
    [{ weights: 'stored' as 'q8' }, 'weights'],
    [{ kv: 'auto' as 'q8' }, 'kv'],
    [{ context: 3001 }, 'context'],
    [{ slots: 0 }, 'slots'],
    [{ reservedBytes: -1 }, 'reservedBytes'],
    [{ paramsBillions: Number.NaN }, 'paramsBillions'],
    [{ perBatchItemMB: 0 }, 'perBatchItemMB'],
  ])('%j is refused', (overrides, name) => {
    expect(() => plan(big, 'personaplex-7b', overrides)).toThrow(new RegExp(`^${name} is `));
  });

  it('come from the environment, checked', () => {
    const env = { MOSHI_MODEL_PARAMS_BILLIONS: '7.7', MOSHI_PER_BATCH_ITEM_MB: '1600' };
    expect(planOverridesFromEnv(env)).toEqual({ paramsBillions: 7.7, perBatchItemMB: 1600 });
    expect(planOverridesFromEnv({ MOSHI_PER_BATCH_ITEM_MB: ' ' })).toEqual({});
    expect(() => planOverridesFromEnv({ MOSHI_MODEL_PARAMS_BILLIONS: '7B' })).toThrow('must be a number');
    expect(() => planOverridesFromEnv({ MOSHI_PER_BATCH_ITEM_MB: '0' })).toThrow('or unset');
  });
});

describe('the outlook', () => {
  it('tells what runs today from what a GPU would', () => {
    const [persona, , stt] = outlook(named('RTX 4090 24 GB'), {}, ['cpu']);
    expect(persona).toMatchObject({
      best: { device: 'cuda:0' },
      now: null,
      cards: [],
      refusal: expect.stringContaining('What would'),
    });
    expect(stt).toMatchObject({ model: 'stt-1b', best: { device: 'cuda:0' }, now: { device: 'cpu' }, refusal: null });
  });

  it('is the same where GPUs are run on, with a part for each', () => {
    const [persona] = outlook(named('two RTX 3090'), {}, ['cuda', 'cpu']);
    expect(persona!.now).toEqual(persona!.best);
    expect(persona).toMatchObject({ now: { device: 'cuda:0' }, refusal: null });
    expect(persona!.cards.map(({ device, slots }) => [device, slots])).toEqual([
      ['cuda:0', 5],
      ['cuda:1', 5],
    ]);
    expect(outlook(machine([]), {}, ['cuda', 'cpu']).find(({ model }) => model === 'stt-1b')!.cards).toEqual([]);
  });
});

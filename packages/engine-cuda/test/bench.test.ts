import { describe, expect, it } from 'vitest';
import { type BenchOptions, type BenchReport, bench } from '../src';
import { benchDevice } from '../src/bench';

// Small enough for a test; the figures of such a buffer mean nothing.
const SMALL = { bufferBytes: 2 ** 22, spendMs: 0, layers: [], frames: 2, threads: 2 } as const;

const failure = (options: BenchOptions) => bench({ ...SMALL, ...options }).catch((error) => error);

/** Every number in a report, with where it is. */
function* numbers(value: unknown, place = ''): Generator<[string, number]> {
  if (typeof value === 'number') yield [place, value];
  if (value !== null && typeof value === 'object') {
    for (const [key, inner] of Object.entries(value)) yield* numbers(inner, `${place}.${key}`);
  }
}

function expectSound(report: BenchReport): void {
  for (const [place, value] of numbers(report)) {
    expect(Number.isFinite(value), place).toBe(true);
    expect(value, place).toBeGreaterThanOrEqual(0);
  }
}

describe('bench', () => {
  it('measures a synthetic model and the machine, and tells before each measurement what it is', async () => {
    const told: [string, number, number][] = [];
    const report = await bench({
      ...SMALL,
      model: 'synthetic:tiny',
      weights: 'q8',
      kv: 'f16',
      layers: ['Q4_0'],
      sessions: [3, 1],
      positions: [40, 100_000],
      onMeasure: (...state) => told.push(state),
    });
    expectSound(report);
    expect(report).toMatchObject({
      model: 'synthetic:tiny',
      threads: 2,
      backend: expect.stringMatching(/^cpu-/),
      layers: [{ type: 'Q4_0', bytes: (12_288 * 4096 + 4096 * 4096 + 22_528 * 4096 + 4096 * 11_264) * (9 / 16) }],
      lm: { weights: 'q8', kv: 'f16', persona: true },
      codec: [
        { threads: 1, codebooks: 8 },
        { threads: 2, codebooks: 8 },
      ],
    });
    const rows = report.lm!.frames.map(({ sessions, position }) => [sessions, position]);
    expect(rows).toEqual([
      [1, 40],
      [3, 40],
      [1, 100_000],
      [3, 100_000],
    ]);
    for (const row of report.lm!.frames) {
      const { total, framesPerSecond, holds, weightBytes, kvBytes, lmBest, gbps, ofRead } = row;
      expect(row.frames).toBe(2);
      expect(framesPerSecond).toBeCloseTo(1000 / total);
      expect(holds).toBe(total <= 80);
      expect(gbps).toBeCloseTo((weightBytes + kvBytes) / lmBest / 1e6);
      expect(ofRead).toBeGreaterThan(0);
    }
    const [one, three] = report.lm!.frames;
    expect(three!.kvBytes).toBe(3 * one!.kvBytes);
    expect(one!.overFewest).toBe(1);
    expect(report.ratios).toMatchObject({
      layers: { Q4_0: report.layers[0]!.ofRead },
      frame: one!.ofRead,
      convolutions: report.codec[0]!.ofPeak,
      sessions: { from: 1, to: 3, time: three!.overFewest },
      position: { from: 40, to: 100_000 },
    });
    expect(report.read.gbps).toBe(Math.max(report.read.before.best, report.read.after.best));
    expect(told.map(([, done]) => done)).toEqual(told.map((_, index) => index));
    expect(told.every(([, , all]) => all === told.length)).toBe(true);
  });

  it('measures the embedded model, in the form a server would load it', async () => {
    const report = await bench({ ...SMALL, threads: 1, positions: [0] });
    expectSound(report);
    expect(report).toMatchObject({ model: 'embedded', lm: { weights: 'stored', kv: 'f32' }, codec: [{ threads: 1 }] });
    expect(report.ratios).toMatchObject({ layers: {}, sessions: null, position: null });
  });

  it('refuses what it cannot do, and says what it can', async () => {
    expect(await failure({ model: 'synthetic:7b' })).toMatchObject({
      code: 'ENGINE_BAD_OPTION',
      message: expect.stringMatching(/personaplex-7b, moshi-7b, stt-1b, stt-2.6b, tts-1.6b, mimi$/),
    });
    expect(await failure({ device: 'cuda' })).toMatchObject({
      code: 'ENGINE_BAD_OPTION',
      message: expect.stringMatching(/'cuda'.*only cpu/),
    });
    expect(await failure({ model: 'synthetic:personaplex-7b', kv: 'f32', sessions: [256] })).toMatchObject({
      code: 'ENGINE_BAD_OPTION',
      message: expect.stringMatching(/needs .* GB .*available; ask for lighter weights/),
    });
    expect(await failure({ model: 'synthetic:tiny', isa: 'abacus' })).toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    expect(await failure({ sessions: [] })).toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    expect(await failure({ positions: [-1] })).toMatchObject({ code: 'ENGINE_BAD_OPTION' });
  });

  it('runs on the devices that its version runs on', () => {
    const both = ['cuda', 'cpu'] as const;
    expect([benchDevice(undefined, both), benchDevice('cuda:1', both)]).toEqual(['cpu', 'cuda:1']);
    for (const device of ['cuda', 'cuda:x', 'gpu:0']) expect(() => benchDevice(device, both)).toThrow('cpu, cuda:0');
    expect(() => benchDevice('cuda:0', ['cpu'])).toThrow("'cuda:0' in this version, only cpu:");
  });

  it('ends between two measurements when it is told to', async () => {
    const stop = new AbortController();
    const onMeasure = (_: string, done: number) => done === 1 && stop.abort();
    expect(await failure({ model: 'synthetic:tiny', signal: stop.signal, onMeasure })).toMatchObject({
      name: 'AbortError',
    });
  });
});

import { type BenchOptions, bench } from '@moshi/engine-cuda';
import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { benchInWords } from '../src/commands/bench-words';
import type { BenchReport } from '../src/index';
import { fakeModels, moshi } from './support/command';

/** A machine that reads 40 GB/s, and a model that takes half of a frame. */
function report({ sessions = [1], positions = [1500], model = 'embedded' }: BenchOptions, persona = false) {
  const half = { best: 40, median: 40 };
  return {
    model,
    backend: 'cpu-test',
    threads: 2,
    gpu: null,
    read: { before: half, after: half, oneThread: { best: 30, median: 29 }, gbps: 40 },
    core: { gflops: 120 },
    layers: [{ type: 'Q8_0' as const, bytes: 1e9, ms: 28, best: 27, gbps: 37, ofRead: 0.925, eightRows: 1.75 }],
    lm: {
      weights: 'q8' as const,
      kv: 'f16' as const,
      loadMs: 2500,
      packedBytes: 8.2e9,
      peakBytes: 8.6e9,
      persona,
      frames: positions.flatMap((position) =>
        sessions.map((count) => ({
          sessions: count,
          position,
          frames: 50,
          encode: 5,
          lm: 20 * count,
          lmBest: 20 * count,
          decode: 5,
          total: 10 + 20 * count,
          framesPerSecond: 1000 / (10 + 20 * count),
          holds: 10 + 20 * count <= 80,
          weightBytes: 0.7e9,
          kvBytes: 0.1e9,
          gbps: 40 / count,
          ofRead: 1 / count,
          linearOfRead: 1,
          overFewest: 1.5,
          stages: [
            { stage: 'temporal' as const, kind: 'linear' as const, ms: 16, bytes: 0.6e9, gbps: 37.5 },
            { stage: 'sampling' as const, kind: 'rest' as const, ms: 4, bytes: 0, gbps: 0 },
          ],
        })),
      ),
    },
    codec: [
      {
        threads: 1,
        codebooks: 8,
        encode: 6,
        encodeBest: 6,
        decode: 5,
        decodeBest: 5,
        gflops: 80,
        ofPeak: 0.667,
        encodeStages: [{ stage: 'convolutions' as const, kind: 'linear' as const, ms: 3, bytes: 1e7, gbps: 3.3 }],
        decodeStages: [],
      },
    ],
    ratios: { layers: { Q8_0: 0.925 }, frame: 1, convolutions: 0.667, sessions: null, position: null },
  };
}

function withBench(asked: BenchOptions[], persona = false, loaded: object[] = []) {
  return {
    models: async () =>
      fakeModels({
        bench: async (options) => {
          asked.push(options);
          return report(options, persona);
        },
        loadEngine: async (options) => {
          loaded.push(options);
          return Object.assign(loopbackEngine({ slots: 1 }), {
            timePersona: async () => ({ steps: 200, steppedMs: 4000, readMs: 400, copiedMs: 4 }),
          });
        },
      }),
  };
}

describe('bench', () => {
  it('passes on what it is asked, with lists of sessions and positions', async () => {
    const asked: BenchOptions[] = [];
    const argv =
      'bench --model synthetic:moshi-7b --weights q4 --kv q8 --sessions 1,8,8 --position 0,100000 --frames 7 --threads 3 --isa avx2 --no-layers --json';
    const { status, stdout, stderr } = await moshi(argv.split(' '), withBench(asked));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(asked).toMatchObject([
      {
        model: 'synthetic:moshi-7b',
        device: 'cpu',
        weights: 'q4',
        kv: 'q8',
        sessions: [1, 8],
        positions: [0, 100_000],
        frames: 7,
        threads: 3,
        isa: 'avx2',
        layers: [],
      },
    ]);
    const printed: BenchReport = JSON.parse(stdout);
    expect(printed).toEqual({ ...report(asked[0]!), persona: null });
  });

  it('times a persona on the device it measures', async () => {
    const loaded: object[] = [];
    await moshi(['bench'], withBench([], true, loaded));
    await moshi(['bench', '--device', 'cuda:1'], withBench([], true, loaded));
    expect(loaded).toMatchObject([
      { gpu: false, slots: 1 },
      { gpu: 1, slots: 1 },
    ]);
  });

  it('leaves the rest to the engine', async () => {
    const asked: BenchOptions[] = [];
    await moshi(['bench'], withBench(asked));
    expect(asked).toMatchObject([{ weights: 'auto', kv: 'auto', sessions: [1], positions: [1500], frames: 50 }]);
    for (const option of ['model', 'layers', 'threads', 'isa']) expect(asked[0]).not.toHaveProperty(option);
  });

  it('draws bars as long as stages take, and says what is held', async () => {
    const { stdout } = await moshi(['bench', '--sessions', '1,4'], withBench([]));
    expect(stdout).toContain('embedded, q8 weights, f16 attention');
    expect(stdout).toMatch(/Q8_0 +37\.0 +0\.93 +1\.8x/);
    expect(stdout).toMatch(/1 conversation at 1500: 30\.0 ms of 80 ms, 33\.3 frames a second: held\n/);
    expect(stdout).toMatch(/4 conversations at 1500: 90\.0 ms of 80 ms, 11\.1 frames a second: not held\n/);
    const bar = (name: string) => /█+/.exec(stdout.split('\n').find((line) => line.includes(name))!)![0].length;
    expect(bar('temporal, linear')).toBe(32);
    expect(bar('sampling')).toBe(8);
    expect(stdout).toContain(
      '0.70 GB of weights and 0.10 GB of attention, 40.0 GB/s, 1.00 of reading; 1.50 times as long as the fewest',
    );
    expect(stdout).toMatch(
      /codec alone on 1 thread: encode 6\.00 ms, decode 5\.00 ms; convolutions 80 GFLOP\/s, 0\.67/,
    );
  });

  it('tells of a GPU what can be told', async () => {
    const onGpu: BenchReport = {
      ...report({}),
      persona: null,
      backend: 'cuda-sm_90',
      gpu: { name: 'H100', graphs: 'on', oneLaunch: { used: true, ms: 2.5, apartMs: 3 } },
    };
    const frames = onGpu.lm!.frames.map((one) => ({ ...one, linearOfRead: null, stages: [] }));
    const codec = onGpu.codec.map((one) => ({
      ...one,
      gflops: null,
      ofPeak: null,
      encodeStages: [],
      decodeStages: [],
    }));
    const words = benchInWords({
      ...onGpu,
      read: { ...onGpu.read, oneThread: null },
      core: null,
      lm: { ...onGpu.lm!, frames },
      codec,
    });
    expect(words).toMatch(/^runs on +H100, cuda-sm_90$/m);
    expect(words).toMatch(/^memory +40\.0 GB\/s copied plainly \(before 40\.0, after 40\.0\)\ngraphs +on\nlaunches /m);
    expect(words).toMatch(
      /^launches +small layers in one: a step takes 2\.50 ms with small layers in one, 3\.00 ms without\nloaded/m,
    );
    const apart = { ...onGpu.gpu!, oneLaunch: { used: false, ms: 3, apartMs: 2.5 } };
    expect(benchInWords({ ...onGpu, gpu: apart })).toMatch(/^launches +one for each layer: /m);
    expect(benchInWords({ ...onGpu, gpu: { ...apart, oneLaunch: null } })).not.toMatch(/launches/);
    expect(words).toMatch(/^codec alone on the GPU: encode 6\.00 ms, decode 5\.00 ms$/m);
    expect(words).not.toMatch(/null|NaN|temporal/);
  });

  it('times a persona where there is one', async () => {
    const { stdout } = await moshi(['bench', '--model', 'm', '--json'], withBench([], true));
    expect(JSON.parse(stdout)).toMatchObject({ persona: { steps: 200, stepped: 4000, read: 400, copied: 4 } });
    const words = await moshi(['bench', '--model', 'm'], withBench([], true));
    expect(words.stdout).toMatch(/persona +200 steps: 4000 ms one by one; 400 ms read at once, 10 times faster/);
    const voiced = await moshi(['bench', '--model', 'm', '--voice', 'NATF0'], withBench([]));
    expect(voiced).toMatchObject({ status: 2, stderr: expect.stringMatching(/knows no voices: leave out --voice/) });
  });

  it.each([
    [['--sessions', '0'], /whole numbers from 1 to 256, with commas/],
    [['--sessions', '1,,2'], /whole numbers from 1 to 256/],
    [['--position', '-1'], /whole numbers from 0/],
    [['--weights', 'q5'], /Allowed choices are auto, stored/],
    [['--kv', 'f8'], /Allowed choices are auto, f32, f16, q8/],
    [['--model', 'synthetic:mimi', '--voice', 'NATF0'], /knows no voices/],
  ])('refuses %j', async (argv, message) => {
    const { status, stdout, stderr } = await moshi(['bench', ...argv], withBench([]));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(message);
  });

  it('gives bad options of the engine status 2', async () => {
    const refused = await moshi(['bench', '--device', 'cuda'], { models: async () => fakeModels({ bench }) });
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringMatching(/'cuda'.*only cpu/) });
  });
});

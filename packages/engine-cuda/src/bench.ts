import { EngineError, translated, translatedAsync } from './errors';
import { type DeviceOptions, engineFiles, type LoadEngineOptions } from './load-engine';
import { addon, type NativeBench, type NativeBenchFrames, type NativeBenchStage, nativeDevice } from './native';
import { checkWhole } from './options';
import { BACKENDS } from './plan';
import type { WeightForm } from './weights';

/** Models of the published shapes whose weights are made up in memory: `synthetic:` and one of these. */
export const SYNTHETIC_MODELS = ['personaplex-7b', 'moshi-7b', 'stt-1b', 'stt-2.6b', 'tts-1.6b', 'mimi'] as const;

/** Types of weights whose linear layers {@link bench} measures by themselves. */
export const LAYER_TYPES = ['F32', 'BF16', 'F16', 'Q8_0', 'Q4_0', 'Q4_K'] as const;
/** One of {@link LAYER_TYPES}. */
export type LayerType = (typeof LAYER_TYPES)[number];

const FRAME_MS = 80;
const SYNTHETIC = 'synthetic:';
const CODEC_CODEBOOKS = 8;
const GIBIBYTE = 2 ** 30;

/** What {@link bench} may be told. */
export interface BenchOptions extends Omit<LoadEngineOptions, 'slots' | 'voices' | keyof DeviceOptions> {
  /** As for {@link loadEngine}, or `synthetic:NAME` with one of {@link SYNTHETIC_MODELS}. */
  model?: string;
  /** Where it runs: `cpu`, the default, or a GPU by its index, `cuda:0`. */
  device?: string;
  /** Form of the weights; left out or `auto`: the one {@link loadEngine} would choose. */
  weights?: WeightForm | 'auto';
  /** Elements of the attention's memory; left out or `auto`: as {@link loadEngine} would choose. */
  kv?: 'auto' | 'f32' | 'f16' | 'q8';
  /** Conversations stepped together, 1 to 256; 1. Several such groups take turns, frame by frame. */
  sessions?: readonly number[];
  /** How far the conversations have come, in frames; 1500. Beyond the model's context its ring has wrapped around. */
  positions?: readonly number[];
  /** Frames of 80 ms to measure, 1 to 100 000; fewer where they would take more than ten seconds; 50. */
  frames?: number;
  /** Types of which the linear layers are measured by themselves; all. */
  layers?: readonly LayerType[];
  /** Bytes of memory to read, and of layers: far more than any cache; 2^30. */
  bufferBytes?: number;
  /** How long each of the machine's own measurements goes on, in milliseconds: a busy machine needs longer until it shows what it can; 1500. */
  spendMs?: number;
  /** Called before each measurement with what it is about. */
  onMeasure?: (what: string, done: number, all: number) => void;
}

/** Of some repeats: the least time or the greatest speed, and the one in the middle. */
export interface BenchRepeats {
  best: number;
  median: number;
}

/** Where time went: to `kind`, the linear layers, the attention or all the rest of a stage. */
export interface BenchStage {
  stage: 'embeddings' | 'temporal' | 'textHead' | 'depth' | 'sampling' | 'convolutions' | 'transformer' | 'quantizer';
  kind: 'linear' | 'attention' | 'rest';
  ms: number;
  /** Of weights and of the attention's memory. */
  bytes: number;
  /** Bytes over time, 10^9 a second; 0 where no weights and no memory of the attention are read. */
  gbps: number;
}

/** A frame of all conversations together; times in milliseconds, medians unless they say `best`. */
export interface BenchFrames {
  sessions: number;
  position: number;
  /** Frames measured. */
  frames: number;
  encode: number;
  lm: number;
  lmBest: number;
  decode: number;
  total: number;
  /** Frames a second that each conversation would get. */
  framesPerSecond: number;
  /** Whether they fit into 80 ms. */
  holds: boolean;
  /** What one frame of the language model reads. */
  weightBytes: number;
  kvBytes: number;
  /** Both over `lmBest`, 10^9 bytes a second. */
  gbps: number;
  /** Bytes over time, over plain reading with the same threads right before and after: the middle one of all frames. */
  ofRead: number;
  /** The same of its linear layers alone; null on a GPU. */
  linearOfRead: number | null;
  /** Time of the language model over that for the fewest conversations, turn by turn: the middle one; 1 for those. */
  overFewest: number;
  /** Of the language model, in the fastest frame: they sum up to `lmBest`. None on a GPU. */
  stages: BenchStage[];
}

/** One frame of the codec alone with eight codebooks; milliseconds. */
export interface BenchCodec {
  threads: number;
  codebooks: number;
  encode: number;
  encodeBest: number;
  decode: number;
  decodeBest: number;
  /** Of the convolutions in the fastest frames, 10^9 floating-point operations a second; null on a GPU. */
  gflops: number | null;
  /** The same over what so many cores do at best right before and after: the middle one of all frames. */
  ofPeak: number | null;
  encodeStages: BenchStage[];
  decodeStages: BenchStage[];
}

/**
 * What {@link bench} measures. All of it is one process on the engine's threads, or on one GPU: compare the ratios, machines differ.
 * Plain reading is copying on a GPU, with what is read and what is written.
 */
export interface BenchReport {
  model: string;
  backend: string;
  threads: number;
  /**
   * Its name, and whether its work is recorded: `on`, or why not. `oneLaunch`: a step of one conversation in ms with small layers
   * that need one another in one launch, with a launch for each, and whether the first is `used`; null where it is not possible.
   * Null on the CPU.
   */
  gpu: { name: string; graphs: string; oneLaunch: { used: boolean; ms: number; apartMs: number } | null } | null;
  /** Plain reading of memory, 10^9 bytes a second: before and after everything else, and by one thread, which a GPU has not. */
  read: {
    before: BenchRepeats;
    after: BenchRepeats;
    oneThread: BenchRepeats | null;
    /** The larger best of before and after. */
    gbps: number;
  };
  /** What one core does at best, 10^9 floating-point operations a second; null on a GPU. */
  core: { gflops: number } | null;
  /** Linear layers of a 7B's shape, as many as exceed the caches; milliseconds of a pass over all of them. */
  layers: {
    type: LayerType;
    bytes: number;
    ms: number;
    best: number;
    gbps: number;
    /** Bytes over time, over plain reading right before and after: the middle one of all passes. */
    ofRead: number;
    /** Time for eight rows over that for one. */
    eightRows: number;
  }[];
  /** The language model; null for a codec alone. */
  lm: {
    weights: WeightForm;
    kv: 'f32' | 'f16' | 'q8';
    loadMs: number;
    packedBytes: number;
    /** The most memory taken while loading; null where the system does not tell. */
    peakBytes: number | null;
    /** Whether it takes a voice and a role. */
    persona: boolean;
    /** One entry for each number of sessions at each position. */
    frames: BenchFrames[];
  } | null;
  /** On one thread, then on all. */
  codec: BenchCodec[];
  /** The figures to compare with other machines and other engines. */
  ratios: {
    /** Bytes over time over plain reading, by type. */
    layers: Partial<Record<LayerType, number>>;
    /** The same of a whole frame of the language model, at the first number of sessions and position. */
    frame: number | null;
    /** Convolutions on one core over what it does at best; null on a GPU. */
    convolutions: number | null;
    /**
     * Time of the language model for the most sessions over that for the fewest, turn by turn; null when only one number was
     * measured.
     */
    sessions: { from: number; to: number; time: number } | null;
    /**
     * Time of the language model at the last position over that at the first, each measured in bytes that plain reading would
     * have got meanwhile; null when only one was measured.
     */
    position: { from: number; to: number; time: number } | null;
  };
}

/**
 * Measures what a model does on this machine, and what the machine could do at best. Rejects `ENGINE_BAD_OPTION` when memory does not
 * hold the model, or for a device that is not there.
 */
export async function bench(options: BenchOptions = {}): Promise<BenchReport> {
  const { positions = [1500], frames = 50, layers = LAYER_TYPES, spendMs: spend = 1500 } = options;
  const sessions = [...(options.sessions ?? [1])].sort((a, b) => a - b);
  const bufferBytes = options.bufferBytes ?? GIBIBYTE;
  checkOptions(options, sessions, positions);
  const device = benchDevice(options.device);
  const synthetic = options.model?.startsWith(SYNTHETIC) ? options.model.slice(SYNTHETIC.length) : undefined;
  const files = synthetic === undefined ? await engineFiles(options) : { synthetic };
  const codecAlone = synthetic === 'mimi';
  const measured = codecAlone ? [] : layers;

  const native = translated(() =>
    addon().openBench({ threads: options.threads ?? 0, isa: options.isa ?? '', ...nativeDevice(device) }),
  );
  const { threads, backend, gpu, graphs = 'off' } = native.info;
  let done = 0;
  const codecThreads = threads > 1 ? [1, threads] : [1];
  const steppedOnGpu = gpu !== undefined && !codecAlone;
  const all =
    (gpu === undefined ? 6 : steppedOnGpu ? 4 : 3) +
    codecThreads.length +
    measured.length +
    (codecAlone ? 0 : positions.length);
  const next = <T>(what: string, measure: (native: NativeBench) => Promise<T>): Promise<T> => {
    options.signal?.throwIfAborted();
    options.onMeasure?.(what, done++, all);
    return translatedAsync(() => measure(native));
  };
  try {
    const before = await next('reading memory', (bench) => bench.read(threads, bufferBytes, spend));
    // What only threads of a CPU can be asked.
    const cpu =
      gpu === undefined
        ? {
            oneThread: await next('reading memory on one thread', (bench) => bench.read(1, bufferBytes, spend)),
            flops: await next('multiply-adds', (bench) => bench.flops(spend)),
          }
        : null;
    const passes = [];
    for (const type of measured) {
      const pass = await next(`${type} layers`, (bench) => bench.layers(type, bufferBytes, spend));
      passes.push({ type, ...pass });
    }
    const load = await next('loading', (bench) =>
      bench.load(files, {
        weights: options.weights === 'auto' ? '' : (options.weights ?? ''),
        kv: options.kv === 'auto' ? '' : (options.kv ?? ''),
        sessions: sessions.reduce((sum, count) => sum + count, 0),
        position: Math.max(...positions),
        loraScale: options.loraScale,
        expand: options.expand === true,
      }),
    );
    // Before what is timed, which goes on in the faster way.
    const tuned = steppedOnGpu ? await next('ways to launch', (bench) => bench.tune(Math.max(...positions))) : null;
    const steps: { sessions: number; position: number; times: NativeBenchFrames }[] = [];
    for (const position of codecAlone ? [] : positions) {
      const groups = sessions.map((count) => (count === 1 ? 'a conversation' : `${count} conversations`));
      const what = `${groups.join(' and ')} at ${position}`;
      const times = await next(what, (bench) => bench.frames(sessions, position, frames));
      for (const [index, one] of times.entries()) steps.push({ sessions: sessions[index]!, position, times: one });
    }
    const codecs = [];
    for (const count of codecThreads) {
      const where = count === 1 ? 'on one thread' : 'on all threads';
      const what = `the codec ${gpu === undefined ? where : 'on the GPU'}`;
      codecs.push({
        threads: count,
        times: await next(what, (bench) => bench.codec(count === 1, CODEC_CODEBOOKS, frames)),
      });
    }
    const flopsAfter = cpu && (await next('multiply-adds again', (bench) => bench.flops(spend)));
    const after = await next('reading memory again', (bench) => bench.read(threads, bufferBytes, spend));

    const perSecond = Math.max(before.best, after.best);
    const report: Omit<BenchReport, 'ratios'> = {
      model: options.model ?? 'embedded',
      backend,
      threads,
      gpu:
        gpu === undefined
          ? null
          : {
              name: gpu,
              graphs,
              oneLaunch: tuned && { used: tuned.together, ms: tuned.togetherMs, apartMs: tuned.apartMs },
            },
      read: {
        before: giga(before),
        after: giga(after),
        oneThread: cpu && giga(cpu.oneThread),
        gbps: perSecond / 1e9,
      },
      core: cpu && flopsAfter !== null ? { gflops: Math.max(cpu.flops, flopsAfter) / 1e9 } : null,
      layers: passes.map(({ type, bytes, one, eight, ofRead }) => ({
        type,
        bytes,
        ms: one.median,
        best: one.best,
        gbps: gbps(bytes, one.best),
        ofRead,
        eightRows: eight.best / one.best,
      })),
      lm: codecAlone
        ? null
        : {
            weights: load.weights,
            kv: load.kv,
            loadMs: load.ms,
            packedBytes: load.packedBytes,
            peakBytes: load.peakBytes || null,
            persona: load.persona,
            frames: steps.map(({ sessions, position, times }) => frameReport(sessions, position, times, cpu !== null)),
          },
      codec: codecs.map(({ threads, times }) => {
        return {
          threads,
          codebooks: CODEC_CODEBOOKS,
          encode: times.encode.median,
          encodeBest: times.encode.best,
          decode: times.decode.median,
          decodeBest: times.decode.best,
          gflops: cpu && times.convolutionFlops / times.convolutionMs / 1e6,
          ofPeak: cpu && times.ofPeak,
          encodeStages: times.encodeStages.map(withSpeed),
          decodeStages: times.decodeStages.map(withSpeed),
        };
      }),
    };
    return { ...report, ratios: ratios(report) };
  } finally {
    await native.close();
  }
}

function checkOptions(options: BenchOptions, sessions: readonly number[], positions: readonly number[]): void {
  for (const count of sessions) checkWhole('sessions', count, 1, 256);
  for (const position of positions) checkWhole('positions', position, 0, 1_000_000_000);
  checkWhole('frames', options.frames, 1, 100_000);
  checkWhole('threads', options.threads, 1, 256);
  checkWhole('bufferBytes', options.bufferBytes, 1, 2 ** 40);
  checkWhole('spendMs', options.spendMs, 0, 60_000);
  if (sessions.length === 0 || positions.length === 0) {
    throw new EngineError('ENGINE_BAD_OPTION', 'sessions and positions need a number each');
  }
}

/** The device of a bench, checked against what this version runs on. @internal */
export function benchDevice(device = 'cpu', backends = BACKENDS): 'cpu' | `cuda:${number}` {
  const known = backends.includes('cuda') ? /^(cpu|cuda:\d{1,3})$/ : /^cpu$/;
  if (known.test(device)) return device as 'cpu' | `cuda:${number}`;
  const there = backends.includes('cuda') ? 'only cpu, cuda:0, cuda:1, …' : 'only cpu';
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    `there is no device '${device}' in this version, ${there}: leave the device out`,
  );
}

function frameReport(sessions: number, position: number, times: NativeBenchFrames, onCpu: boolean): BenchFrames {
  return {
    sessions,
    position,
    frames: times.frames,
    encode: times.encode.median,
    lm: times.lm.median,
    lmBest: times.lm.best,
    decode: times.decode.median,
    total: times.total.median,
    framesPerSecond: 1000 / times.total.median,
    holds: times.total.median <= FRAME_MS,
    weightBytes: times.weightBytes,
    kvBytes: times.kvBytes,
    gbps: gbps(times.weightBytes + times.kvBytes, times.lm.best),
    ofRead: times.ofRead,
    linearOfRead: onCpu ? times.linearOfRead : null,
    overFewest: times.overFirst,
    stages: times.stages.map(withSpeed),
  };
}

function ratios({ layers, lm, codec }: Omit<BenchReport, 'ratios'>): BenchReport['ratios'] {
  const frames = lm?.frames ?? [];
  const first = frames[0];
  const together = frames.filter(({ position }) => position === first?.position);
  const alone = frames.filter(({ sessions }) => sessions === first?.sessions);
  // Bytes that plain reading would have got in the time of a frame.
  const inBytes = ({ weightBytes, kvBytes, ofRead }: BenchFrames) => (weightBytes + kvBytes) / ofRead;
  const over = (
    row: BenchFrames[],
    key: 'sessions' | 'position',
    time: (from: BenchFrames, to: BenchFrames) => number,
  ) => {
    const [from, to] = [row[0], row.at(-1)];
    return from && to && from !== to ? { from: from[key], to: to[key], time: time(from, to) } : null;
  };
  return {
    layers: Object.fromEntries(layers.map(({ type, ofRead }) => [type, ofRead])),
    frame: first?.ofRead ?? null,
    convolutions: codec[0]!.ofPeak,
    sessions: over(together, 'sessions', (_, to) => to.overFewest),
    position: over(alone, 'position', (from, to) => inBytes(to) / inBytes(from)),
  };
}

function gbps(bytes: number, ms: number): number {
  return ms > 0 ? bytes / ms / 1e6 : 0;
}

function giga({ best, median }: BenchRepeats): BenchRepeats {
  return { best: best / 1e9, median: median / 1e9 };
}

function withSpeed(stage: NativeBenchStage): BenchStage {
  return { ...stage, gbps: gbps(stage.bytes, stage.ms) };
}

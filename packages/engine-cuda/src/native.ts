import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, posix, win32 } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EngineError } from './errors';

/** What the addon exports; see native/addon. */
export interface NativeAddon {
  loadEngine(
    files: NativeModelFiles,
    options: NativeOptions & NativeWeights & NativeDevice & NativeEngineOptions,
  ): Promise<NativeEngine>;
  loadMimi(weights: string, config: string, options: NativeOptions): Promise<NativeMimi>;
  loadTokenizer(path: string): NativeTokenizer;
  /** Writes a Moshi checkpoint as the PersonaPlex architecture. */
  expandCheckpoint(lm: string, out: string): Promise<void>;
  /** Writes weights in another type. */
  quantizeWeights(
    files: Pick<NativeModelFiles, 'config' | 'lm'>,
    out: string,
    options: NativeOptions & { type: string },
  ): NativeJob<{ bytes: number; notes: string[] }>;
  /** Makes the file of quantized weights a model is run from; its path, or '' when they are run as they are. */
  cacheWeights(
    files: Pick<NativeModelFiles, 'config' | 'lm' | 'lora'>,
    options: NativeOptions & NativeWeights & { expand: boolean },
  ): NativeJob<string>;
  /** Compares two models on recordings at 24 kHz, mono. */
  evaluate(
    tested: NativeModelFiles,
    reference: NativeModelFiles,
    recordings: Float32Array[],
    options: NativeOptions & {
      weights: string;
      referenceWeights: string;
      kv: string;
      frames: number;
      loraScale?: number;
      expand: boolean;
    },
  ): NativeJob<NativeQuality, { stage: 'encoding' | 'reference' | 'tested'; done: number; all: number }>;
  /** What measures this machine and a model on it. */
  openBench(options: NativeOptions & NativeDevice): NativeBench;
  cpu(): { isa: string[]; used: string; threads: number };
  /** Asks the driver, which may crash or hang: for a process of its own. Other names of its libraries are for tests. */
  probeGpus(libraries?: { cuda?: string; nvml?: string }): NativeGpuReport;
}

/** Zero and '' = unknown. */
export interface NativeGpuReport {
  gpus: {
    index: number;
    name: string;
    uuid: string;
    major: number;
    minor: number;
    totalBytes: number;
    freeBytes: number;
    bandwidth: number;
    multiprocessors: number;
    integrated: boolean;
    ecc: boolean;
    mig: boolean;
    processes: { pid: number; bytes: number | null }[];
  }[];
  driver: string;
  /** 12040 = 12.4. */
  cudaVersion: number;
  problem?: { code: string; message: string };
}

/** One measurement at a time; each resolves when it is done. */
export interface NativeBench {
  /** On a GPU its name, and whether its work is recorded: `on`, or why not. */
  readonly info: { backend: string; threads: number; gpu?: string; graphs?: string };
  /** Bytes a second; a GPU copies, and what it reads and writes counts. */
  read(threads: number, bytes: number, ms: number): Promise<NativeRepeats>;
  /** Floating-point operations a second of one core; 0 for a GPU. */
  flops(ms: number): Promise<number>;
  /** Milliseconds of a pass over `bytes` of weights for one row and for eight. */
  layers(
    type: string,
    bytes: number,
    ms: number,
  ): Promise<{ bytes: number; one: NativeRepeats; eight: NativeRepeats; ofRead: number }>;
  load(
    model: { synthetic: string } | NativeModelFiles,
    options: {
      weights: string;
      kv: string;
      sessions: number;
      position: number;
      loraScale: number | undefined;
      expand: boolean;
    },
  ): Promise<{
    /** Codebooks of the user and of the model; none: a codec alone. */
    heard: number;
    spoken: number;
    persona: boolean;
    weights: 'stored' | 'f16' | 'bf16' | 'q8' | 'mixed' | 'q4';
    kv: 'f32' | 'f16' | 'q8';
    ms: number;
    packedBytes: number;
    /** 0 = unknown. */
    peakBytes: number;
  }>;
  /** Groups of so many conversations, which take turns. */
  frames(sessions: readonly number[], position: number, frames: number): Promise<NativeBenchFrames[]>;
  codec(oneThread: boolean, codebooks: number, frames: number): Promise<NativeBenchCodec>;
  /** Steps of one conversation, in ms, small layers in one launch and apart; the faster way is taken from here on. Null on the CPU. */
  tune(position: number): Promise<{ together: boolean; togetherMs: number; apartMs: number } | null>;
  close(): Promise<void>;
}

/** Of some repeats: the least time or the greatest speed, and the one in the middle. */
export interface NativeRepeats {
  best: number;
  median: number;
}

/** Where time went: of `kind` linear layers, attention, or all the rest of a stage. */
export interface NativeBenchStage {
  stage: 'embeddings' | 'temporal' | 'textHead' | 'depth' | 'sampling' | 'convolutions' | 'transformer' | 'quantizer';
  kind: 'linear' | 'attention' | 'rest';
  ms: number;
  /** Of weights and of the attention's memory. */
  bytes: number;
}

/** Times in milliseconds. A GPU does not tell stages, nor what becomes of linear layers or convolutions alone. */
export interface NativeBenchFrames {
  frames: number;
  encode: NativeRepeats;
  lm: NativeRepeats;
  decode: NativeRepeats;
  total: NativeRepeats;
  weightBytes: number;
  kvBytes: number;
  /** Bytes over time, over plain reading before and after; the middle one of all frames. */
  ofRead: number;
  linearOfRead: number;
  /** `lm` over that of the first group in the same turn; the middle one. */
  overFirst: number;
  stages: NativeBenchStage[];
}

/** Times in milliseconds. */
export interface NativeBenchCodec {
  encode: NativeRepeats;
  decode: NativeRepeats;
  convolutionFlops: number;
  convolutionMs: number;
  /** Over what the cores do at best, before and after; the middle one of all frames. */
  ofPeak: number;
  encodeStages: NativeBenchStage[];
  decodeStages: NativeBenchStage[];
}

export interface NativeModelFiles {
  config: string;
  lm: string;
  mimi: string;
  mimiConfig: string;
  tokenizer: string;
  /** '' = none. */
  lora: string;
}

export interface NativeOptions {
  threads: number;
  isa: string;
}

/** Where a model runs: on the CPU, or on the GPU of that index. */
export type NativeDevice =
  | { device: 'cpu' }
  | {
      device: 'cuda';
      gpu: number;
      /** The folder of the GPUs' kernels. */
      kernels: string;
      /** Steps are recorded once and replayed. */
      graphs: boolean;
    };

/** What an engine is loaded with beside its weights. */
export interface NativeEngineOptions {
  kv: string;
  slots: number;
  /** Positions the attention looks back; 0 = the model's own. */
  context: number;
  loraScale?: number;
  expand: boolean;
}

/** The form weights are run in, and where those made at load are kept. */
export interface NativeWeights {
  weights: string;
  cache: string[];
}

/** Work that runs. */
export interface NativeJob<T, P = { done: number; total: number }> {
  result: Promise<T>;
  progress(): P;
  /** The result then rejects. */
  stop(): void;
}

/** What an engine tells of itself; further entries are details for people. */
export interface NativeEngineInfo {
  readonly slots: number;
  readonly dialect: string;
  readonly weights: string;
  readonly kv: string;
  readonly context: number;
  /** Frames of so many conversations, timed after loading; absent where they were not. */
  readonly rehearsal?: readonly { sessions: number; ms: number }[];
  readonly [detail: string]: unknown;
}

export interface NativeEngine {
  readonly info: NativeEngineInfo;
  open(options: object, onEvent: (kind: string, value?: unknown) => void): NativeSession;
  /** A voice file (.pt, .safetensors) by path, or a recording at 24 kHz, mono. */
  loadVoice(source: string | Float32Array): Promise<NativeVoice>;
  timePersona(persona: { voice?: NativeVoice; prompt: string }): Promise<PersonaTimes>;
  close(): Promise<void>;
}

export interface NativeQuality {
  weights: 'stored' | 'f16' | 'bf16' | 'q8' | 'mixed' | 'q4';
  frames: number;
  hidden: number | null;
  text: NativeStreamQuality;
  words: NativeStreamQuality;
  audio: NativeStreamQuality[];
}

/** How the draws of one stream of tokens compare. */
export interface NativeStreamQuality {
  /** Tokens compared; the rest are means over them, null when there are none. */
  draws: number;
  /** Share of draws, 0 to 1, in which both find the same token likeliest. */
  agreement: number | null;
  /** Kullback-Leibler divergence of the model under test from the reference, nats. */
  divergence: number | null;
  /** Place of the reference's token among those of the model under test; 1 = its likeliest too. */
  rank: number | null;
  /** e^(mean -log p) of the reference's tokens in the model under test. */
  perplexity: number | null;
  /** The same in the reference. */
  referencePerplexity: number | null;
}

/** How long a persona takes until its caller is answered, in milliseconds. */
export interface PersonaTimes {
  /** Positions of the temporal transformer. */
  steps: number;
  /** One position at a time with depth steps, as the reference reads it. */
  steppedMs: number;
  /** Many positions at once, as this engine reads it. */
  readMs: number;
  /** Copied from the state the last caller of the same persona left. */
  copiedMs: number;
}

/** A voice in one engine; opaque. */
export type NativeVoice = { readonly __voice: never };

export interface NativeSession {
  readonly queued: number;
  push(pcm: Float32Array): void;
  say(text: string, wait: boolean): number;
  cancelSay(id: number): void;
  interrupt(): void;
  endTurn(): void;
  reset(): void;
  close(): void;
}

export interface NativeMimi {
  readonly info: { codebooks: number; bins: number; frameSamples: number; sampleRate: number; backend: string };
  encode(pcm: Float32Array, codebooks: number): Promise<Int32Array>;
  decode(codes: Int32Array, codebooks: number): Promise<Float32Array>;
  voiceCodes(pcm: Float32Array): Promise<Int32Array>;
  close(): void;
}

export interface NativeTokenizer {
  readonly size: number;
  encode(text: string): Int32Array;
  decode(ids: Int32Array): string;
}

let loaded: { addon: NativeAddon; path: string } | undefined;

/** Loads the addon: a local build first, then the one shipped for this platform. */
export function addon(): NativeAddon {
  return load().addon;
}

/** Where that addon lies, for another process to load it. */
export function addonPath(): string {
  return load().path;
}

/** A device as the addon is told of it. */
export function nativeDevice(device: 'cpu' | `cuda:${number}`, graphs = true): NativeDevice {
  if (device === 'cpu') return { device };
  return { device: 'cuda', gpu: Number(device.slice(5)), kernels: kernelsPath(), graphs };
}

/** Whether this build has kernels for GPUs; those that `MOSHI_KERNELS` names are taken to be there. */
export function hasKernels(folder = kernelsPath()): boolean {
  if (process.env.MOSHI_KERNELS) return true;
  try {
    return readdirSync(folder).some((name) => /\.(ptx|cubin)$/.test(name));
  } catch {
    return false;
  }
}

function kernelsPath(): string {
  return process.env.MOSHI_KERNELS || join(packageRoot(), 'prebuilds', 'kernels');
}

function packageRoot(): string {
  const here = typeof __dirname === 'string' ? __dirname : dirname(fileURLToPath(import.meta.url));
  return join(here, '..');
}

function load(): { addon: NativeAddon; path: string } {
  if (loaded) return loaded;
  const root = packageRoot();
  const require = createRequire(join(root, 'package.json'));
  let reason = 'it is not there';
  for (const place of addonPlaces(root)) {
    try {
      loaded = { addon: require(place) as NativeAddon, path: require.resolve(place) };
      return loaded;
    } catch (error) {
      // A file that is there but does not load is the more telling failure.
      if ((error as { code?: string }).code !== 'MODULE_NOT_FOUND') reason = (error as Error).message;
    }
  }
  throw new EngineError('ENGINE_NOT_BUILT', notBuilt(reason));
}

/** The system this runs on, as Node names it; tests bring their own. */
type System = Pick<NodeJS.Process, 'platform' | 'arch' | 'env'>;

/** Where the addon may lie, in the order it is looked for. @internal */
export function addonPlaces(root: string, { platform, arch, env }: System = process): string[] {
  const path = platform === 'win32' ? win32 : posix;
  return [
    ...(env.MOSHI_NATIVE ? [env.MOSHI_NATIVE] : []),
    path.join(root, 'native', 'build', 'moshi.node'),
    path.join(root, 'prebuilds', `${platform}-${arch}`, 'moshi.node'),
  ];
}

const COMPILERS: Partial<Record<NodeJS.Platform, string>> = {
  darwin: "Xcode's command line tools: `xcode-select --install`",
  win32: 'make and g++, in a shell of MSYS2',
};

/** What is said where none of them can be loaded. @internal */
export function notBuilt(reason: string, { platform, arch }: Pick<System, 'platform' | 'arch'> = process): string {
  const needed = COMPILERS[platform] ?? 'make and g++';
  return `the native engine for ${platform}-${arch} cannot be loaded (${reason}): build it with \`npm run build\` in the repository (needs ${needed})`;
}

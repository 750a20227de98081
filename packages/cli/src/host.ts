import type { AudioPlatform } from '@moshi/client';
import type { BenchOptions, BenchReport, Estimates, Hardware, InspectOptions, Outlook } from '@moshi/engine-cuda';
import type { Engine } from '@moshi/server';
import type { Keyboard } from './chat/keys';
import type { ProgressStream } from './progress';

/** What loading a model may be told. */
export interface LoadOptions {
  /** A folder, or `owner/name` on the Hugging Face hub; left out: the embedded model, small and untrained. */
  readonly model?: string;
  /** Conversations at once. */
  readonly slots?: number;
  /** Threads of one step. */
  readonly threads?: number;
  /** Voices of one's own: a folder of them, or a voices.tgz; left out: the model's. */
  readonly voices?: string;
  /** LoRA adapter to fuse into the weights: a path, a name inside the model, or `hf://owner/name/file`. */
  readonly lora?: string;
  /** How strongly the adapter acts; left out: as its model says. */
  readonly loraScale?: number;
  /** Loads a Moshi checkpoint as PersonaPlex. */
  readonly expand?: boolean;
  /** The form weights are run in; left out: `auto`, which suits the model. */
  readonly weights?: 'auto' | WeightForm;
  /** Elements of the attention's memory; left out: `auto`, which suits the model. */
  readonly kv?: 'auto' | 'f32' | 'f16' | 'q8';
  /** GPUs it may run on; left out: `auto`, those that suit it, otherwise the CPU. */
  readonly gpu?: 'auto' | boolean | number | readonly number[];
  /** Positions the attention looks back. */
  readonly context?: number;
  /** Bytes of a GPU's memory that are left alone. */
  readonly reservedBytes?: number;
  /** Cancels a download. */
  readonly signal?: AbortSignal;
  /** Called while files are downloaded; sizes in bytes. */
  readonly onProgress?: (progress: DownloadState) => void;
  /** Called while weights are quantized. */
  readonly onQuantize?: (progress: { done: number; total: number }) => void;
}

/** How far the download of one file is. */
export interface DownloadState {
  readonly file: string;
  readonly received: number;
  readonly total: number | undefined;
  readonly bytesPerSecond?: number;
}

/** The Mimi codec, as the commands use it. */
export interface Codec {
  readonly codebooks: number;
  encode(pcm: Float32Array, codebooks?: number): Promise<{ codes: Int32Array; frames: number }>;
  decode(codes: Int32Array, codebooks: number): Promise<Float32Array>;
  /** Codes of a voice, [8, frames] row-major, of a recording at 24 kHz mono that is brought to the right loudness first. */
  voiceCodes(pcm: Float32Array): Promise<Int32Array>;
  close(): void;
}

/** The models, as the commands use them: `@moshi/engine-cuda`, which is only loaded when a command needs it. */
export interface Models {
  loadEngine(options: LoadOptions): Promise<Engine>;
  loadMimi(options: LoadOptions): Promise<Codec>;
  /** Looks at this machine and at its GPUs, if there are any. */
  inspectHardware(options: InspectOptions): Promise<Hardware>;
  /** What each known model would do on it. */
  outlook(hardware: Hardware, estimates: Estimates, backends: readonly ('cpu' | 'cuda')[]): Outlook[];
  /** Estimates of memory that the environment settles. */
  planOverridesFromEnv(env: Record<string, string | undefined>): Estimates;
  /** Kinds of devices that this version runs models on. */
  readonly BACKENDS: readonly ('cpu' | 'cuda')[];
  /** The voices of a model and of the user. */
  voiceLibrary(options: Pick<LoadOptions, 'model' | 'voices' | 'signal' | 'onProgress'>): VoiceList;
  /** The sound of a voice recording of any format: 24 kHz mono. */
  decodeVoice(path: string): Promise<Float32Array>;
  /** Rejects when a voice cannot be stored at `path`. */
  checkVoiceOutput(path: string): Promise<void>;
  /** Stores a voice's codes, [8, frames] row-major. */
  writeVoice(path: string, codes: Int32Array, frames: number): Promise<void>;
  /** Writes a Moshi checkpoint as a PersonaPlex one. */
  expandCheckpoint(model: string, folder: string, options: Pick<LoadOptions, 'signal' | 'onProgress'>): Promise<void>;
  /** Writes a model's weights in another type. */
  quantizeCheckpoint(
    model: string,
    out: string,
    options: Pick<LoadOptions, 'threads' | 'signal' | 'onProgress' | 'onQuantize'> & { type: string },
  ): Promise<{ bytes: number; notes: string[] }>;
  /** Measures this machine and a model on it. */
  bench(options: BenchOptions): Promise<BenchReport>;
  /** Compares a model with a reference on recordings. */
  evaluate(options: EvaluateOptions): Promise<QualityReport>;
}

/** What an evaluation may be told. */
export interface EvaluateOptions
  extends Omit<LoadOptions, 'slots' | 'voices' | 'kv' | 'gpu' | 'context' | 'reservedBytes'> {
  /** A recording, or a folder of them. */
  readonly audio: string;
  /** A form of the same model, or another model. */
  readonly against?: string;
  /** Elements of the attention's memory under test. */
  readonly kv?: 'f32' | 'f16' | 'q8';
  /** Frames of 80 ms, of all recordings together. */
  readonly frames?: number;
  /** Called while it works, in frames. */
  readonly onEvaluation?: (progress: { stage: 'encoding' | 'reference' | 'tested'; done: number; all: number }) => void;
}

/** Forms of weights that can be compared. */
export type WeightForm = 'stored' | 'f16' | 'bf16' | 'q8' | 'mixed' | 'q4';

/** How the draws of one stream of tokens compare: means, null when there are no draws. */
export interface StreamQuality {
  readonly draws: number;
  /** Share of draws in which both find the same token likeliest. */
  readonly agreement: number | null;
  /** Kullback-Leibler, nats. */
  readonly divergence: number | null;
  /** Place of the reference's token, 1 = the likeliest. */
  readonly rank: number | null;
  readonly perplexity: number | null;
  readonly referencePerplexity: number | null;
}

/** What `moshi eval --json` prints. */
export interface QualityReport {
  readonly model: string;
  readonly weights: WeightForm;
  readonly against: string;
  readonly kv: 'f32' | 'f16' | 'q8';
  readonly recordings: number;
  readonly frames: number;
  /** Cosine between the outputs of the temporal transformers. */
  readonly hidden: number | null;
  readonly text: StreamQuality;
  /** The part of `text` where the reference says something. */
  readonly words: StreamQuality;
  readonly audio: readonly StreamQuality[];
  /** Of text, and the mean of all codebooks. */
  readonly agreement: { readonly text: number | null; readonly audio: number | null };
}

/** Voices by name, sorted. */
export interface VoiceList {
  list(): Promise<{ name: string }[]>;
}

/** Everything around a command that a test, or a program that embeds the commands, may want to replace. */
export interface Host {
  /** Results go here; `chat` draws on it when it is a terminal. */
  readonly stdout: ProgressStream;
  /** Progress, logs and errors go here. */
  readonly stderr: ProgressStream;
  /** Ends the command as Ctrl+C does. Default: the process's SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Loads the models' package. */
  readonly models: () => Promise<Models>;
  /** Keys of `chat`, where it is a terminal. Default: the process's. */
  readonly stdin?: Keyboard;
  /** Microphone and loudspeaker of `chat`. Default: through the programs of this system. */
  readonly sound?: AudioPlatform;
  /** Show stacks of errors. Default: `MOSHI_DEBUG=1`. */
  readonly debug: boolean;
}

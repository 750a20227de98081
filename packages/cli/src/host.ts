import type { Engine } from '@moshi/server';
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
  /** Cancels a download. */
  readonly signal?: AbortSignal;
  /** Called while files are downloaded; sizes in bytes. */
  readonly onProgress?: (progress: DownloadState) => void;
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

/** What `moshi doctor` shows of a machine. */
export interface MachineReport {
  readonly platform: string;
  readonly node: string;
  readonly cpu: {
    readonly model: string;
    readonly threads: number;
    readonly isa: readonly string[];
    readonly used: string;
    readonly engineThreads: number;
  };
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
}

/** The models, as the commands use them: `@moshi/engine-cuda`, which is only loaded when a command needs it. */
export interface Models {
  loadEngine(options: LoadOptions): Promise<Engine>;
  loadMimi(options: LoadOptions): Promise<Codec>;
  inspectHardware(): Promise<MachineReport>;
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
}

/** Voices by name, sorted. */
export interface VoiceList {
  list(): Promise<{ name: string }[]>;
}

/** Everything around a command that a test, or a program that embeds the commands, may want to replace. */
export interface Host {
  /** Results go here. */
  readonly stdout: { write(text: string): unknown };
  /** Progress, logs and errors go here. */
  readonly stderr: ProgressStream;
  /** Ends the command as Ctrl+C does. Default: the process's SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Loads the models' package. */
  readonly models: () => Promise<Models>;
  /** Show stacks of errors. Default: `MOSHI_DEBUG=1`. */
  readonly debug: boolean;
}

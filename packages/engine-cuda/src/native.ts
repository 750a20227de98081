import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EngineError } from './errors';

/** What the addon exports; see native/addon. */
export interface NativeAddon {
  loadEngine(
    files: NativeModelFiles,
    options: NativeOptions & { slots: number; loraScale?: number; expand: boolean },
  ): Promise<NativeEngine>;
  loadMimi(weights: string, config: string, options: NativeOptions): Promise<NativeMimi>;
  loadTokenizer(path: string): NativeTokenizer;
  /** Writes a Moshi checkpoint as the PersonaPlex architecture. */
  expandCheckpoint(lm: string, out: string): Promise<void>;
  cpu(): { isa: string[]; used: string; threads: number };
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

export interface NativeEngine {
  readonly info: Record<string, string | number>;
  open(options: object, onEvent: (kind: string, value?: unknown) => void): NativeSession;
  /** A voice file (.pt, .safetensors) by path, or a recording at 24 kHz, mono. */
  loadVoice(source: string | Float32Array): Promise<NativeVoice>;
  timePersona(persona: { voice?: NativeVoice; prompt: string }): Promise<PersonaTimes>;
  close(): Promise<void>;
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

let loaded: NativeAddon | undefined;

/** Loads the addon: a local build first, then the one shipped for this platform. */
export function addon(): NativeAddon {
  if (loaded) return loaded;
  const here = typeof __dirname === 'string' ? __dirname : dirname(fileURLToPath(import.meta.url));
  const root = join(here, '..');
  const require = createRequire(join(root, 'package.json'));
  const platform = `${process.platform}-${process.arch}`;
  const places = [
    ...(process.env.MOSHI_NATIVE ? [process.env.MOSHI_NATIVE] : []),
    join(root, 'native', 'build', 'moshi.node'),
    join(root, 'prebuilds', platform, 'moshi.node'),
  ];
  let reason = 'it is not there';
  for (const place of places) {
    try {
      loaded = require(place) as NativeAddon;
      return loaded;
    } catch (error) {
      // A file that is there but does not load is the more telling failure.
      if ((error as { code?: string }).code !== 'MODULE_NOT_FOUND') reason = (error as Error).message;
    }
  }
  throw new EngineError(
    'ENGINE_NOT_BUILT',
    `the native engine for ${platform} cannot be loaded (${reason}): build it with \`npm run build\` in the repository (needs make and g++)`,
  );
}

import { join } from 'node:path';
import { defaultModel } from './default-model';
import { EngineError, translatedAsync } from './errors';
import { resolveMimi } from './hub';
import type { LoadEngineOptions } from './load-engine';
import { addon, type NativeMimi } from './native';
import { checkWhole } from './options';

/** The Mimi codec alone: whole recordings to codes and back. */
export class MimiCodec {
  readonly #native: NativeMimi;
  /** Codebooks the weights hold. */
  readonly codebooks: number;
  /** Entries a codebook has. */
  readonly bins: number;

  /** Made by {@link loadMimi}. @internal */
  constructor(native: NativeMimi) {
    this.#native = native;
    this.codebooks = native.info.codebooks;
    this.bins = native.info.bins;
  }

  /**
   * Codes of a whole recording at 24 kHz, mono: `codes` is [codebooks, frames], row-major; the last frame is padded with
   * silence. One frame is 80 ms. `codebooks` asks for the first few only (8 for Moshi).
   */
  async encode(
    pcm: Float32Array,
    codebooks = Math.min(8, this.codebooks),
  ): Promise<{ codes: Int32Array; frames: number }> {
    checkWhole('codebooks', codebooks, 1, this.codebooks);
    const codes = await translatedAsync(async () => this.#native.encode(pcm, codebooks));
    return { codes, frames: codes.length / codebooks };
  }

  /** The recording of [codebooks, frames] codes, 1920 samples a frame. Rejects when a code is outside its codebook. */
  async decode(codes: Int32Array, codebooks: number): Promise<Float32Array> {
    checkWhole('codebooks', codebooks, 1, this.codebooks);
    if (codes.length % codebooks !== 0) {
      throw new EngineError('ENGINE_BAD_OPTION', `${codes.length} codes are no multiple of ${codebooks} codebooks`);
    }
    return translatedAsync(async () => this.#native.decode(codes, codebooks));
  }

  /**
   * Codes of a voice prompt, [8, frames] row-major: the recording (24 kHz, mono) is brought to -24 LUFS first, as PersonaPlex
   * wants it. Rejects with `ENGINE_BAD_OPTION` when it is silent or shorter than 0.4 s.
   */
  async voiceCodes(pcm: Float32Array): Promise<Int32Array> {
    return translatedAsync(async () => this.#native.voiceCodes(pcm));
  }

  /** Frees the weights once running calls have ended. */
  close(): void {
    this.#native.close();
  }
}

/** Loads the codec of a model, or a folder that holds only a codec. Left out: the embedded default. */
export async function loadMimi(options: Omit<LoadEngineOptions, 'slots'> = {}): Promise<MimiCodec> {
  checkWhole('threads', options.threads, 1, 256);
  const native = addon();
  let weights: string;
  let config: string;
  if (options.model === undefined) {
    const folder = await defaultModel();
    weights = join(folder, 'mimi.safetensors');
    config = join(folder, 'mimi_config.json');
  } else {
    const files = await resolveMimi(options.model, options);
    weights = files.mimiWeights;
    config = files.mimiConfig ?? '';
  }
  const codec = await translatedAsync(() =>
    native.loadMimi(weights, config, { threads: options.threads ?? 0, isa: options.isa ?? '' }),
  );
  return new MimiCodec(codec);
}

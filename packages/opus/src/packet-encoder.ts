import { SAMPLE_RATE } from '@moshi/protocol';
import { Application, createEncoder, type OpusEncoderHandle } from 'libopus-wasm';

/** Options of {@link OpusPacketEncoder}. */
export interface OpusPacketEncoderOptions {
  /** Milliseconds per Opus packet (default 40). */
  frameMs?: 20 | 40;
  /** Target bits per second, 6000 to 510 000 (default 32 000); the rate varies with the sound. */
  bitrate?: number;
  /**
   * What libopus optimises for (default `audio`, as the official web client: the sound stays closest to its source;
   * `voip`, as the published servers, also takes low rumble out, which shifts the phase of low tones).
   */
  application?: 'voip' | 'audio';
  /** Effort, 0 to 10 (default 5). */
  complexity?: number;
}

/** Samples at 48 kHz, the unit of Ogg Opus positions, per sample at 24 kHz. */
export const GRANULE_SCALE = 48000 / SAMPLE_RATE;
const FRAME_MS_CHOICES: readonly number[] = [20, 40];

/** Encodes 24 kHz mono PCM to Opus packets, one for each frame; {@link OpusPacketEncoder.free} always at the end. */
export class OpusPacketEncoder {
  /** Samples of one packet, 24 kHz. */
  readonly frameSamples: number;
  /** What the encoder delays, in samples at 48 kHz: a player leaves them out at the start. */
  readonly preSkip: number;
  readonly #opus: OpusEncoderHandle;
  readonly #frame: Float32Array;

  private constructor(opus: OpusEncoderHandle, frameSamples: number) {
    this.#opus = opus;
    this.#frame = new Float32Array(frameSamples);
    this.frameSamples = frameSamples;
    this.preSkip = opus.getLookahead() * GRANULE_SCALE;
  }

  /** Loads libopus on first use and makes an encoder. Rejects with a RangeError on a bad option. */
  static async create(options: OpusPacketEncoderOptions = {}): Promise<OpusPacketEncoder> {
    const { frameMs = 40, bitrate = 32000, complexity = 5, application = 'audio' } = options;
    // Checked before libopus is asked: it keeps the memory of an encoder whose options it refuses.
    if (!FRAME_MS_CHOICES.includes(frameMs)) throw new RangeError(`frameMs is ${frameMs}; it must be 20 or 40`);
    checkInteger('bitrate', bitrate, 6000, 510_000);
    checkInteger('complexity', complexity, 0, 10);
    if (application !== 'voip' && application !== 'audio') {
      throw new RangeError(`application is "${application}"; it must be voip or audio`);
    }
    const frameSize = (SAMPLE_RATE * frameMs) / 1000;
    const opus = await createEncoder({
      sampleRate: SAMPLE_RATE,
      channels: 1,
      frameSize,
      application: application === 'voip' ? Application.Voip : Application.Audio,
      bitrate,
      complexity,
    });
    return new OpusPacketEncoder(opus, frameSize);
  }

  /** The packet of one frame: `frameSamples` samples in [-1, 1]. Louder ones are clipped, NaN counts as silence. Throws after free(). */
  encode(frame: Float32Array): Uint8Array {
    if (frame.length !== this.frameSamples) {
      throw new RangeError(`a packet takes ${this.frameSamples} samples, not ${frame.length}`);
    }
    // libopus turns samples into integers without looking: one NaN would spoil the rest of the stream.
    for (let i = 0; i < frame.length; i++) this.#frame[i] = Math.max(-1, Math.min(1, frame[i]! || 0));
    return this.#opus.encodeFloat(this.#frame);
  }

  /** Gives the codec's memory back. May be called again. */
  free(): void {
    this.#opus.free();
  }
}

/** Throws a RangeError unless `value` is a whole number in this range. */
export function checkInteger(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${name} is ${value}; it must be a whole number from ${min} to ${max}`);
}

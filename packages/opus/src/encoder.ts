import { OggOpusWriter, SAMPLE_RATE } from '@moshi/protocol';
import { Application, createEncoder, type OpusEncoderHandle } from 'libopus-wasm';

/** Options of {@link OggOpusEncoder}. */
export interface OggOpusEncoderOptions {
  /** Number of the Ogg stream, u32 (default 42, as the published servers). */
  serial?: number;
  /** Milliseconds per Opus packet (default 40). */
  frameMs?: 20 | 40;
  /** Packets per Ogg page, 1 to 50 (default 1). */
  packetsPerPage?: number;
  /** Target bits per second, 6000 to 510 000 (default 32 000); the rate varies with the sound. */
  bitrate?: number;
  /**
   * What libopus optimises for (default `audio`, as the official web client: the sound stays closest to its source;
   * `voip`, as the published servers, also takes low rumble out, which shifts the phase of low tones).
   */
  application?: 'voip' | 'audio';
  /** Effort, 0 to 10 (default 5). */
  complexity?: number;
  /** Who encoded, in the stream's tags (default `moshi-js`). */
  vendor?: string;
  /** Samples a player leaves out at the start, 48 kHz units (default: what the encoder delays, 312). */
  preSkip?: number;
  /** Rate of the source in Hz, for information in the header (default 24000). */
  inputSampleRate?: number;
}

/** Samples at 48 kHz, the unit of Ogg Opus positions, per sample at 24 kHz. */
const GRANULE_SCALE = 48000 / SAMPLE_RATE;
const FRAME_MS_CHOICES: readonly number[] = [20, 40];

/**
 * Encodes 24 kHz mono PCM to one Ogg Opus stream: {@link OggOpusEncoder.header} once, then
 * {@link OggOpusEncoder.encode} for each piece of sound, {@link OggOpusEncoder.flush} at the end, and
 * {@link OggOpusEncoder.free} always. Samples come out with the call that completes their page.
 */
export class OggOpusEncoder {
  readonly #opus: OpusEncoderHandle;
  readonly #writer: OggOpusWriter;
  readonly #packetsPerPage: number;
  readonly #preSkip: number;
  readonly #frame: Float32Array;
  #filled = 0;
  /** Samples taken in, 24 kHz. */
  #samples = 0;
  /** Packets of the page under way. */
  #packets: Uint8Array[] = [];
  #state: 'new' | 'open' | 'flushed' | 'freed' = 'new';

  private constructor(opus: OpusEncoderHandle, frameSamples: number, options: OggOpusEncoderOptions) {
    this.#opus = opus;
    this.#frame = new Float32Array(frameSamples);
    this.#packetsPerPage = options.packetsPerPage ?? 1;
    this.#preSkip = options.preSkip ?? opus.getLookahead() * GRANULE_SCALE;
    this.#writer = new OggOpusWriter({ ...options, preSkip: this.#preSkip });
  }

  /** Loads libopus on first use and makes an encoder. Rejects with a RangeError or ProtocolError on a bad option. */
  static async create(options: OggOpusEncoderOptions = {}): Promise<OggOpusEncoder> {
    const { frameMs = 40, bitrate = 32000, complexity = 5, packetsPerPage = 1, application = 'audio' } = options;
    // Checked before libopus is asked: it keeps the memory of an encoder whose options it refuses.
    if (!FRAME_MS_CHOICES.includes(frameMs)) throw new RangeError(`frameMs is ${frameMs}; it must be 20 or 40`);
    checkInteger('bitrate', bitrate, 6000, 510_000);
    checkInteger('complexity', complexity, 0, 10);
    checkInteger('packetsPerPage', packetsPerPage, 1, 50);
    if (application !== 'voip' && application !== 'audio') {
      throw new RangeError(`application is "${application}"; it must be voip or audio`);
    }
    const frameSamples = (SAMPLE_RATE * frameMs) / 1000;
    const opus = await createEncoder({
      sampleRate: SAMPLE_RATE,
      channels: 1,
      frameSize: frameSamples,
      application: application === 'voip' ? Application.Voip : Application.Audio,
      bitrate,
      complexity,
    });
    try {
      return new OggOpusEncoder(opus, frameSamples, options);
    } catch (error) {
      opus.free();
      throw error;
    }
  }

  /** The two Ogg header pages. Send them once, before all others; throws on a second call. */
  header(): Uint8Array {
    this.#checkUsable();
    const bytes = this.#writer.header();
    this.#state = 'open';
    return bytes;
  }

  /**
   * Takes 24 kHz mono samples in [-1, 1], any number of them, and returns the Ogg pages they complete; the rest is
   * kept for the next call. Louder samples are clipped, NaN counts as silence. Throws before header() and after flush().
   */
  encode(pcm: Float32Array): Uint8Array[] {
    this.#checkOpen();
    const pages: Uint8Array[] = [];
    this.#samples += pcm.length;
    for (let at = 0; at < pcm.length; ) {
      const count = Math.min(this.#frame.length - this.#filled, pcm.length - at);
      copyClipped(pcm.subarray(at, at + count), this.#frame, this.#filled);
      at += count;
      this.#filled += count;
      if (this.#filled < this.#frame.length) break;
      this.#encodeFrame();
      if (this.#packets.length === this.#packetsPerPage) pages.push(this.#writer.page(this.#packets.splice(0)));
    }
    return pages;
  }

  /**
   * The last pages: the kept samples, with silence until the codec's delay has let them through, on pages of which the
   * last is marked as the end. A player that honours the positions plays exactly the samples put in.
   * A second call returns nothing.
   */
  flush(): Uint8Array[] {
    if (this.#state === 'flushed') return [];
    this.#checkOpen();
    const wanted = this.#samples === 0 ? 0 : this.#samples * GRANULE_SCALE + this.#preSkip;
    const frameLength = this.#frame.length * GRANULE_SCALE;
    let encoded = Number(this.#writer.granule) + this.#packets.length * frameLength;
    const pages: Uint8Array[] = [];
    while (encoded < wanted) {
      if (this.#packets.length === this.#packetsPerPage) pages.push(this.#writer.page(this.#packets.splice(0)));
      this.#frame.fill(0, this.#filled);
      this.#encodeFrame();
      encoded += frameLength;
    }
    pages.push(this.#writer.end({ packets: this.#packets.splice(0), trim: encoded - wanted }));
    this.#state = 'flushed';
    return pages;
  }

  /** Gives the codec's memory back; call it whenever the encoder is done with. May be called again. */
  free(): void {
    this.#state = 'freed';
    this.#packets = [];
    this.#opus.free();
  }

  #encodeFrame(): void {
    this.#packets.push(this.#opus.encodeFloat(this.#frame));
    this.#filled = 0;
  }

  #checkUsable(): void {
    if (this.#state === 'freed') throw new Error('this OggOpusEncoder has been freed; create a new one');
  }

  #checkOpen(): void {
    this.#checkUsable();
    if (this.#state === 'new') throw new Error('call header() first: an Ogg stream starts with it');
    if (this.#state === 'flushed') throw new Error('this OggOpusEncoder has been flushed; create a new one');
  }
}

function checkInteger(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`${name} is ${value}; it must be a whole number from ${min} to ${max}`);
}

// libopus turns samples into integers without looking: one NaN would spoil the rest of the stream.
function copyClipped(from: Float32Array, to: Float32Array, at: number): void {
  for (let i = 0; i < from.length; i++) to[at + i] = Math.max(-1, Math.min(1, from[i]! || 0));
}

import { OggOpusWriter } from '@moshi/protocol';
import { checkInteger, GRANULE_SCALE, OpusPacketEncoder, type OpusPacketEncoderOptions } from './packet-encoder';

/** Options of {@link OggOpusEncoder}. */
export interface OggOpusEncoderOptions extends OpusPacketEncoderOptions {
  /** Number of the Ogg stream, u32 (default 42, as the published servers). */
  serial?: number;
  /** Packets per Ogg page, 1 to 50 (default 1). */
  packetsPerPage?: number;
  /** Who encoded, in the stream's tags (default `moshi-js`). */
  vendor?: string;
  /** Samples a player leaves out at the start, 48 kHz units (default: what the encoder delays, 312). */
  preSkip?: number;
  /** Rate of the source in Hz, for information in the header (default 24000). */
  inputSampleRate?: number;
}

/**
 * Encodes 24 kHz mono PCM to one Ogg Opus stream: {@link OggOpusEncoder.header} once, then
 * {@link OggOpusEncoder.encode} for each piece of sound, {@link OggOpusEncoder.flush} at the end, and
 * {@link OggOpusEncoder.free} always. Samples come out with the call that completes their page.
 */
export class OggOpusEncoder {
  readonly #opus: OpusPacketEncoder;
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

  private constructor(opus: OpusPacketEncoder, options: OggOpusEncoderOptions) {
    this.#opus = opus;
    this.#frame = new Float32Array(opus.frameSamples);
    this.#packetsPerPage = options.packetsPerPage ?? 1;
    this.#preSkip = options.preSkip ?? opus.preSkip;
    this.#writer = new OggOpusWriter({ ...options, preSkip: this.#preSkip });
  }

  /** Loads libopus on first use and makes an encoder. Rejects with a RangeError or ProtocolError on a bad option. */
  static async create(options: OggOpusEncoderOptions = {}): Promise<OggOpusEncoder> {
    checkInteger('packetsPerPage', options.packetsPerPage ?? 1, 1, 50);
    const opus = await OpusPacketEncoder.create(options);
    try {
      return new OggOpusEncoder(opus, options);
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
      this.#frame.set(pcm.subarray(at, at + count), this.#filled);
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
    this.#packets.push(this.#opus.encode(this.#frame));
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

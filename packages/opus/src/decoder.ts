import { OggOpusReader, opusPacketSamples, SAMPLE_RATE } from '@moshi/protocol';
import { concat } from '@moshi/protocol/audio';
import { OpusDecoder } from 'opus-decoder';

/** Options of {@link OggOpusDecoder}. */
export interface OggOpusDecoderOptions {
  /** Seconds of sound that one decode() may give (default 600): a few bytes of silence can stand for much of it. */
  maxSeconds?: number;
}

/** What a decoder has seen so far. */
export interface OggOpusDecoderStats {
  /** Packets decoded. */
  readonly packets: number;
  /** Packets lost: incomplete, not decodable, or past the limit of one call. */
  readonly lost: number;
  /** Ogg pages dropped because their checksum was wrong. */
  readonly badCrc: number;
  /** Bytes that were part of no good Ogg page. */
  readonly skippedBytes: number;
}

/** The codec core has an input buffer of this size and throws on more; 256 kbit/s over the longest packet. */
const MAX_PACKET_BYTES = 3840;

/**
 * Decodes one Ogg Opus byte stream to 24 kHz mono PCM. Every sample comes out with the call that brings the last byte
 * of its page. Stereo is mixed down. Call {@link OggOpusDecoder.free} when done.
 */
export class OggOpusDecoder {
  readonly #reader = new OggOpusReader();
  /** Undefined once freed: each one reserves 29 MB that only the garbage collector gives back. */
  #opus: OpusDecoder<24000> | undefined;
  readonly #maxSamples: number;
  #packets = 0;
  #lost = 0;

  private constructor(opus: OpusDecoder<24000>, maxSamples: number) {
    this.#opus = opus;
    this.#maxSamples = maxSamples;
  }

  /** Loads the codec and makes a decoder. Rejects with a RangeError on a bad option. */
  static async create(options: OggOpusDecoderOptions = {}): Promise<OggOpusDecoder> {
    const { maxSeconds = 600 } = options;
    if (!(maxSeconds > 0)) throw new RangeError(`maxSeconds is ${maxSeconds}; it must be above 0`);
    const opus = new OpusDecoder({
      sampleRate: SAMPLE_RATE,
      channels: 1,
      streamCount: 1,
      coupledStreamCount: 0,
      channelMappingTable: [0],
      preSkip: 0,
    });
    await opus.ready;
    return new OggOpusDecoder(opus, maxSeconds * SAMPLE_RATE);
  }

  /** A snapshot of the counters. */
  get stats(): OggOpusDecoderStats {
    const { brokenPackets, badCrc, skippedBytes } = this.#reader.stats;
    return { packets: this.#packets, lost: this.#lost + brokenPackets, badCrc, skippedBytes };
  }

  /**
   * Takes the next bytes, in any split, and returns the samples they complete: 24 kHz mono, about [-1, 1] (a codec may
   * overshoot), the stream's pre-skip not removed. A broken packet gives no samples and is counted.
   * Throws after free().
   */
  decode(bytes: Uint8Array): Float32Array {
    const opus = this.#opus;
    if (!opus) throw new Error('this OggOpusDecoder has been freed; create a new one');
    const parts: Float32Array[] = [];
    let samples = 0;
    this.#reader.forEach(bytes, (packet) => {
      const expected = this.#decodableSamples(packet);
      if (expected === 0 || samples + expected > this.#maxSamples) {
        this.#lost++;
        return;
      }
      const part = opus.decodeFrame(packet).channelData[0];
      if (!part?.length) {
        this.#lost++;
        return;
      }
      this.#packets++;
      samples += part.length;
      parts.push(part);
    });
    return parts.length === 1 ? parts[0]! : concat(parts);
  }

  /** Gives the codec's memory back. May be called again. */
  free(): void {
    this.#opus?.free();
    this.#opus = undefined;
  }

  // What the core cannot take is kept from it: it writes to the console about bad packets and throws on long ones.
  #decodableSamples(packet: Uint8Array): number {
    const multistream = (this.#reader.head?.mapping?.streams ?? 1) > 1;
    return multistream || packet.length > MAX_PACKET_BYTES ? 0 : opusPacketSamples(packet, SAMPLE_RATE);
  }
}

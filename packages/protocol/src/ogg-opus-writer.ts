import { ProtocolError } from './errors';
import { OggPageWriter } from './ogg-page-writer';
import { encodeOpusHead, encodeOpusTags } from './opus-headers';
import { opusPacketSamples } from './opus-packet';

/** Options of {@link OggOpusWriter}. */
export interface OggOpusWriterOptions {
  /** Stream number, u32 (default 42, as the published servers). */
  serial?: number;
  /** Samples a player leaves out at the start, 48 kHz units (default 312). */
  preSkip?: number;
  /** Rate of the source in Hz, for information (default 24000). */
  inputSampleRate?: number;
  /** 1 mono (default), 2 stereo. */
  channels?: 1 | 2;
  /** Who encoded (default `moshi-js`). */
  vendor?: string;
  /** `NAME=value` lines (default none). */
  comments?: readonly string[];
}

/** Options of {@link OggOpusWriter.end}. */
export interface OggOpusEndOptions {
  /** Last packets of the stream (default none). */
  packets?: readonly Uint8Array[];
  /** Samples at the end of the last packets that a player leaves out, 48 kHz units (default 0). */
  trim?: number;
}

/** Writes one Ogg Opus stream: header pages, then pages of packets, then an end page. */
export class OggOpusWriter {
  readonly #pages: OggPageWriter;
  readonly #head: Uint8Array;
  readonly #tags: Uint8Array;
  #state: 'new' | 'open' | 'ended' = 'new';
  #granule = 0n;

  /** Throws {@link ProtocolError} when an option is outside its range. */
  constructor(options: OggOpusWriterOptions = {}) {
    this.#pages = new OggPageWriter({ serial: options.serial ?? 42 });
    this.#head = encodeOpusHead({
      version: 1,
      channels: options.channels ?? 1,
      preSkip: options.preSkip ?? 312,
      inputSampleRate: options.inputSampleRate ?? 24000,
      outputGain: 0,
      mappingFamily: 0,
    });
    this.#tags = encodeOpusTags({ vendor: options.vendor ?? 'moshi-js', comments: options.comments ?? [] });
  }

  /** Position after the packets written so far: 48 kHz units, pre-skip included. */
  get granule(): bigint {
    return this.#granule;
  }

  /**
   * The two header pages, to be sent before all others. A second call throws {@link ProtocolError}: readers end the
   * session on a second header.
   */
  header(): Uint8Array {
    if (this.#state !== 'new') throw new ProtocolError('unencodable', 'the Ogg headers are written once per stream');
    this.#state = 'open';
    const head = this.#pages.page([this.#head], { granule: 0n, bos: true });
    const tags = this.#pages.page([this.#tags], { granule: 0n });
    const bytes = new Uint8Array(head.length + tags.length);
    bytes.set(head);
    bytes.set(tags, head.length);
    return bytes;
  }

  /**
   * A page with these Opus packets, its position advanced by their duration; no packets give no bytes. Throws
   * {@link ProtocolError} before the header, after the end, or on bytes that are no Opus packet.
   */
  page(packets: readonly Uint8Array[]): Uint8Array {
    this.#checkOpen();
    if (packets.length === 0) return new Uint8Array(0);
    const granules = this.#granulesOf(packets);
    const bytes = this.#pages.page(packets, { granule: granules });
    this.#granule = granules.at(-1)!;
    return bytes;
  }

  /** The last page. Throws {@link ProtocolError} like {@link OggOpusWriter.page}, or when `trim` is out of range. */
  end(options: OggOpusEndOptions = {}): Uint8Array {
    this.#checkOpen();
    const packets = options.packets ?? [];
    const granules = this.#granulesOf(packets);
    const end = granules.at(-1) ?? this.#granule;
    const trim = options.trim ?? 0;
    if (!Number.isInteger(trim) || trim < 0 || BigInt(trim) > end - this.#granule) {
      throw new ProtocolError(
        'unencodable',
        `trim is ${trim}; it must be within the last ${end - this.#granule} samples`,
      );
    }
    const granule = end - BigInt(trim);
    const bytes = this.#pages.page(packets, {
      granule: packets.length === 0 ? granule : [...granules.slice(0, -1), granule],
      eos: true,
    });
    this.#granule = granule;
    this.#state = 'ended';
    return bytes;
  }

  #checkOpen(): void {
    if (this.#state === 'new')
      throw new ProtocolError('unencodable', 'call header() first: an Ogg stream starts with it');
    if (this.#state === 'ended') throw new ProtocolError('unencodable', 'the Ogg stream has ended; start a new writer');
  }

  #granulesOf(packets: readonly Uint8Array[]): bigint[] {
    let granule = this.#granule;
    return packets.map((packet, i) => {
      const samples = opusPacketSamples(packet, 48000);
      if (samples === 0)
        throw new ProtocolError('unencodable', `packet ${i} of ${packet.length} bytes is no Opus packet`);
      granule += BigInt(samples);
      return granule;
    });
  }
}

import { type OggPacket, OggPacketReader, type OggPacketReaderOptions, type OggPacketStats } from './ogg-packets';
import { decodeOpusHead, decodeOpusTags, isOpusHead, isOpusTags, type OpusHead, type OpusTags } from './opus-headers';

/** What an {@link OggOpusReader} has seen so far. */
export interface OggOpusStats extends OggPacketStats {
  /** Opus audio packets handed out. */
  readonly audioPackets: number;
  /** Empty packets left out: a decoder would take them for a loss. */
  readonly emptyPackets: number;
  /** Packets of other streams left out. */
  readonly otherPackets: number;
  /** Header packets that could not be read. */
  readonly badHeaders: number;
}

/**
 * Takes the Opus audio packets out of Ogg bytes. Headers are read, not handed out; streams one after the other
 * (chained) are followed; of streams side by side (multiplexed) the first Opus stream is taken. Audio that comes
 * with no header before it is handed out too, as the published servers do.
 */
export class OggOpusReader {
  readonly #packets: OggPacketReader;
  /** The stream listened to. */
  #serial: number | undefined;
  /** It is past its first page, so an Opus stream that begins now comes after it, not beside it. */
  #underWay = false;
  // Streams known to be something else; bounded as the packet reader's own streams are.
  readonly #others = new Set<number>();
  #head: OpusHead | undefined;
  #tags: OpusTags | undefined;
  #audioPackets = 0;
  #emptyPackets = 0;
  #otherPackets = 0;
  #badHeaders = 0;

  constructor(options: OggPacketReaderOptions = {}) {
    this.#packets = new OggPacketReader(options);
  }

  /** Header of the current stream, once it has come. */
  get head(): OpusHead | undefined {
    return this.#head;
  }

  /** Tags of the current stream, once they have come. */
  get tags(): OpusTags | undefined {
    return this.#tags;
  }

  /** A snapshot of the counters. */
  get stats(): OggOpusStats {
    return {
      ...this.#packets.stats,
      audioPackets: this.#audioPackets,
      emptyPackets: this.#emptyPackets,
      otherPackets: this.#otherPackets,
      badHeaders: this.#badHeaders,
    };
  }

  /** Takes the next bytes, in any split, and returns the audio packets they complete, each at least one byte. */
  push(bytes: Uint8Array): Uint8Array[] {
    const audio: Uint8Array[] = [];
    this.forEach(bytes, (packet) => audio.push(packet));
    return audio;
  }

  /** Like {@link OggOpusReader.push}, but hands over one packet after the other, for readers that bound their memory. */
  forEach(bytes: Uint8Array, visit: (packet: Uint8Array) => void): void {
    this.#packets.forEach(bytes, (packet) => {
      if (!this.#isAudio(packet)) return;
      this.#audioPackets++;
      visit(packet.data);
    });
  }

  #isAudio(packet: OggPacket): boolean {
    const { data, serial } = packet;
    if (packet.bos) this.#begin(packet);
    if (this.#others.has(serial) || (this.#serial !== undefined && this.#serial !== serial)) {
      this.#otherPackets++;
      return false;
    }
    this.#serial = serial;
    if (!packet.bos) this.#underWay = true;
    // A stream that ends gives its place to whichever comes next.
    if (packet.eos) this.#serial = undefined;
    if (isOpusHead(data)) {
      this.#readHead(data);
      return false;
    }
    if (isOpusTags(data)) {
      this.#readTags(data);
      return false;
    }
    if (data.length === 0) this.#emptyPackets++;
    return data.length > 0;
  }

  /** A stream begins: follow it, or know it as another's. */
  #begin({ data, serial }: OggPacket): void {
    const follows = this.#serial === undefined || this.#serial === serial || this.#underWay;
    if (isOpusHead(data) && follows) {
      this.#others.delete(serial);
      this.#serial = serial;
      this.#underWay = false;
      this.#head = undefined;
      this.#tags = undefined;
      return;
    }
    this.#others.delete(serial);
    this.#others.add(serial);
    if (this.#others.size > 64) this.#others.delete(this.#others.values().next().value!);
  }

  #readHead(data: Uint8Array): void {
    try {
      this.#head = decodeOpusHead(data);
    } catch {
      this.#badHeaders++;
    }
  }

  #readTags(data: Uint8Array): void {
    try {
      this.#tags = decodeOpusTags(data);
    } catch {
      this.#badHeaders++;
    }
  }
}

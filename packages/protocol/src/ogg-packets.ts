import { type OggPage, OggPageReader, type OggPageStats } from './ogg-page-reader';

/** One packet of a logical Ogg stream. */
export interface OggPacket {
  /** The whole packet; may be empty. */
  data: Uint8Array;
  /** Which logical stream, u32. */
  serial: number;
  /** The page's position for the last packet that ends on it, else -1. */
  granule: bigint;
  /** First packet of its stream. */
  bos: boolean;
  /** Last packet of its stream. */
  eos: boolean;
}

/** What a packet reader has seen so far. */
export interface OggPacketStats extends OggPageStats {
  /** Packets handed out. */
  readonly packets: number;
  /** Packets dropped: a part was missing, or they were longer than allowed. */
  readonly brokenPackets: number;
  /** Page numbers missing from the streams; a jump back counts as one. */
  readonly lostPages: number;
}

/** Options of {@link OggPacketReader}. */
export interface OggPacketReaderOptions {
  /** Drop pages with a wrong checksum (default true). */
  checkCrc?: boolean;
  /** Longer packets are dropped (default 1 MiB). */
  maxPacketBytes?: number;
  /** Logical streams followed at once (default 8); the one unused for longest is forgotten. */
  maxStreams?: number;
}

/** What is known of one logical stream. */
interface Stream {
  /** Number the next page must have. */
  sequence: number;
  /** Pieces of the packet that is not complete, or undefined between packets. */
  pieces: Uint8Array[] | undefined;
  bytes: number;
  /** The rest of the current packet is thrown away. */
  skipping: boolean;
  /** No packet has ended or been broken yet: the next one is the stream's first. */
  fresh: boolean;
}

/**
 * Cuts a byte stream into Ogg packets: packets over pages, several streams at once or one after the other. Where a
 * page is missing only the packets with a part on it are lost.
 * Memory: at most `maxStreams` × `maxPacketBytes` and one page.
 */
export class OggPacketReader {
  readonly #pages: OggPageReader;
  readonly #maxPacketBytes: number;
  readonly #maxStreams: number;
  // In the order of last use.
  readonly #streams = new Map<number, Stream>();
  #packets = 0;
  #brokenPackets = 0;
  #lostPages = 0;

  constructor(options: OggPacketReaderOptions = {}) {
    this.#pages = new OggPageReader(options);
    this.#maxPacketBytes = options.maxPacketBytes ?? 1 << 20;
    this.#maxStreams = options.maxStreams ?? 8;
  }

  /** A snapshot of the counters. */
  get stats(): OggPacketStats {
    return {
      ...this.#pages.stats,
      packets: this.#packets,
      brokenPackets: this.#brokenPackets,
      lostPages: this.#lostPages,
    };
  }

  /** Takes the next bytes, in any split, and returns the packets they complete. */
  push(bytes: Uint8Array): OggPacket[] {
    const packets: OggPacket[] = [];
    this.forEach(bytes, (packet) => packets.push(packet));
    return packets;
  }

  /** Like {@link OggPacketReader.push}, but hands over one packet after the other: a page may hold 255 tiny ones. */
  forEach(bytes: Uint8Array, visit: (packet: OggPacket) => void): void {
    for (const page of this.#pages.push(bytes)) {
      const packets = this.#readPage(page);
      this.#packets += packets.length;
      packets.forEach(visit);
    }
  }

  #readPage(page: OggPage): OggPacket[] {
    const packets: OggPacket[] = [];
    const stream = this.#streamOf(page);
    this.#joinUp(stream, page);
    let at = 0;
    let pieceAt = 0;
    for (const lacing of page.segments) {
      at += lacing;
      if (lacing === 255) continue;
      const data = this.#add(stream, page.body.subarray(pieceAt, at));
      pieceAt = at;
      if (stream.skipping) this.#forgetPacket(stream);
      else packets.push({ ...endPacket(stream, data), serial: page.serial, granule: -1n, eos: false });
    }
    if (page.segments.at(-1) === 255) this.#add(stream, page.body.subarray(pieceAt, at));
    const last = packets.at(-1);
    if (last) {
      last.granule = page.granule;
      last.eos = page.eos;
    }
    stream.sequence = (page.sequence + 1) >>> 0;
    if (page.eos) this.#endStream(page.serial, stream);
    return packets;
  }

  #streamOf(page: OggPage): Stream {
    const known = this.#streams.get(page.serial);
    this.#streams.delete(page.serial);
    if (known && page.bos) this.#breakPacket(known);
    const stream = known && !page.bos ? known : newStream(page);
    this.#streams.set(page.serial, stream);
    if (this.#streams.size > this.#maxStreams) {
      const [serial, oldest] = this.#streams.entries().next().value!;
      this.#endStream(serial, oldest);
    }
    return stream;
  }

  #endStream(serial: number, stream: Stream): void {
    this.#breakPacket(stream);
    this.#streams.delete(serial);
  }

  /** Makes the packet under way and the page's first bytes agree. */
  #joinUp(stream: Stream, page: OggPage): void {
    const missing = (page.sequence - stream.sequence) >>> 0;
    if (missing !== 0) this.#lostPages += missing < 0x80000000 ? missing : 1;
    const broken = (missing !== 0 || !page.continued) && this.#breakPacket(stream);
    if (!page.continued) {
      stream.skipping = false;
    } else if (stream.pieces === undefined && !stream.skipping) {
      // The rest of a packet whose start never came; one that was just broken is counted already.
      if (!broken) this.#brokenPackets++;
      stream.fresh = false;
      stream.skipping = true;
    }
  }

  /** Adds a piece to the packet under way and returns it. */
  #add(stream: Stream, piece: Uint8Array): Uint8Array {
    if (stream.skipping) return piece;
    stream.bytes += piece.length;
    if (stream.bytes > this.#maxPacketBytes) {
      this.#brokenPackets++;
      stream.fresh = false;
      stream.skipping = true;
      stream.pieces = undefined;
    } else {
      stream.pieces ??= [];
      stream.pieces.push(piece);
    }
    return piece;
  }

  /** Drops the packet under way; true when there was one. */
  #breakPacket(stream: Stream): boolean {
    if (stream.pieces === undefined) return false;
    this.#brokenPackets++;
    stream.fresh = false;
    this.#forgetPacket(stream);
    return true;
  }

  #forgetPacket(stream: Stream): void {
    stream.pieces = undefined;
    stream.bytes = 0;
    stream.skipping = false;
  }
}

function newStream({ sequence, bos }: OggPage): Stream {
  return { sequence, pieces: undefined, bytes: 0, skipping: false, fresh: bos };
}

function endPacket(stream: Stream, last: Uint8Array): { data: Uint8Array; bos: boolean } {
  const pieces = stream.pieces!;
  const bos = stream.fresh;
  let data = last;
  if (pieces.length > 1) {
    data = new Uint8Array(stream.bytes);
    let at = 0;
    for (const piece of pieces) {
      data.set(piece, at);
      at += piece.length;
    }
  }
  stream.pieces = undefined;
  stream.bytes = 0;
  stream.fresh = false;
  return { data, bos };
}

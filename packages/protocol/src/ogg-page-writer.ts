import { ProtocolError } from './errors';
import { oggCrc } from './ogg-crc';

/** What to write on the page or pages of one {@link OggPageWriter.page} call. */
export interface OggPageOptions {
  /**
   * Position at the end of the last packet, or of the stream on a page without packets. When the packets need several pages and more than the last one ends
   * before the final page, give one position per packet.
   */
  granule: bigint | readonly bigint[];
  /** First page of the stream. */
  bos?: boolean;
  /** Last page of the stream. */
  eos?: boolean;
}

const HEADER_BYTES = 27;
const MAX_SEGMENTS = 255;

/** A piece of a packet: one lacing value. */
interface Segment {
  bytes: Uint8Array;
  /** Index of the packet that ends here, or -1 when it goes on. */
  ends: number;
}

/** Writes the pages of one logical Ogg stream, numbering them from 0. */
export class OggPageWriter {
  readonly #serial: number;
  #sequence = 0;

  /** `serial` is the stream's number, u32. Throws {@link ProtocolError} when it is not. */
  constructor({ serial }: { serial: number }) {
    if (!Number.isInteger(serial) || serial < 0 || serial > 0xffffffff) {
      throw new ProtocolError('unencodable', `Ogg serial ${serial}; it must be a whole number from 0 to 4294967295`);
    }
    this.#serial = serial;
  }

  /**
   * One page with these packets; more pages, one after the other, when they have more than 255 lacing values
   * (about 64 KiB). No packets make an empty page. Throws {@link ProtocolError} when a granule is missing.
   */
  page(packets: readonly Uint8Array[], options: OggPageOptions): Uint8Array {
    const segments = packets.flatMap(lace);
    const groups: Segment[][] = [];
    for (let i = 0; i === 0 || i < segments.length; i += MAX_SEGMENTS) groups.push(segments.slice(i, i + MAX_SEGMENTS));
    // All granules first: a refused call must not use up a page number.
    const granules = groups.map((group) => granuleOf(group, packets.length, options.granule));
    const pages = groups.map((group, i) => {
      const continued = i > 0 && groups[i - 1]!.at(-1)!.ends < 0;
      const bos = i === 0 && options.bos === true;
      const eos = i === groups.length - 1 && options.eos === true;
      return this.#write(group, granules[i]!, (continued ? 1 : 0) | (bos ? 2 : 0) | (eos ? 4 : 0));
    });
    return concat(pages);
  }

  #write(segments: readonly Segment[], granule: bigint, flags: number): Uint8Array {
    const bodyAt = HEADER_BYTES + segments.length;
    const bytes = new Uint8Array(segments.reduce((sum, segment) => sum + segment.bytes.length, bodyAt));
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0x4f676753); // "OggS"
    bytes[5] = flags;
    view.setBigInt64(6, granule, true);
    view.setUint32(14, this.#serial, true);
    view.setUint32(18, this.#sequence, true);
    this.#sequence = (this.#sequence + 1) >>> 0;
    bytes[26] = segments.length;
    let at = bodyAt;
    segments.forEach(({ bytes: piece }, i) => {
      bytes[HEADER_BYTES + i] = piece.length;
      bytes.set(piece, at);
      at += piece.length;
    });
    view.setUint32(22, oggCrc(bytes), true);
    return bytes;
  }
}

// A packet is as many 255s as it has, then one value below 255, which is 0 for a multiple of 255.
function lace(packet: Uint8Array, index: number): Segment[] {
  const segments: Segment[] = [];
  for (let at = 0; at <= packet.length; at += 255) {
    const bytes = packet.subarray(at, at + 255);
    segments.push({ bytes, ends: bytes.length < 255 ? index : -1 });
  }
  return segments;
}

function granuleOf(group: readonly Segment[], packetCount: number, granule: bigint | readonly bigint[]): bigint {
  if (packetCount === 0) return typeof granule === 'bigint' ? granule : -1n;
  const last = group.reduce((found, segment) => Math.max(found, segment.ends), -1);
  if (last < 0) return -1n;
  if (typeof granule !== 'bigint') {
    const value = granule[last];
    if (value === undefined)
      throw new ProtocolError('unencodable', `no granule for packet ${last}; give one per packet`);
    return value;
  }
  if (last < packetCount - 1) {
    throw new ProtocolError('unencodable', 'packets for several Ogg pages need one granule each, not one for all');
  }
  return granule;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

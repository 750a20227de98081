import { oggCrc } from './ogg-crc';

/** One Ogg page (RFC 3533). */
export interface OggPage {
  /** Which logical stream the page belongs to, u32. */
  serial: number;
  /** Number of the page in its stream, u32. */
  sequence: number;
  /** Position at the end of the last packet that ends here, in the codec's units; -1 when none ends here. */
  granule: bigint;
  /** The page starts in the middle of a packet. */
  continued: boolean;
  /** First page of its stream. */
  bos: boolean;
  /** Last page of its stream. */
  eos: boolean;
  /** The lacing values, 0 to 255 bytes: a value below 255 ends a packet. */
  segments: Uint8Array;
  /** What the lacing values count: at most 65 025 bytes. */
  body: Uint8Array;
}

/** What a reader has seen so far. */
export interface OggPageStats {
  /** Whole pages handed out. */
  readonly pages: number;
  /** Pages dropped because their checksum was wrong. */
  readonly badCrc: number;
  /** Bytes that were part of no good page. */
  readonly skippedBytes: number;
}

/** Options of {@link OggPageReader}. */
export interface OggPageReaderOptions {
  /** Drop pages with a wrong checksum (default true). */
  checkCrc?: boolean;
}

/** "OggS", at the start of every page. */
const CAPTURE = [0x4f, 0x67, 0x67, 0x53];
const HEADER_BYTES = 27;
const PORTION_BYTES = 1 << 16;
const ZERO_CRC = new Uint8Array(4);
/** Checksum work on bad pages that is always allowed, in bytes. */
const RESCAN_BUDGET = 1 << 20;
/** Further such work earned by every byte done with. */
const RESCAN_PER_BYTE = 16;

/**
 * Cuts a byte stream into Ogg pages. Bytes may come in any split; a page is handed out with the push that brings its
 * last byte. Bytes between pages and pages with a wrong checksum are dropped and counted, never fatal.
 * Holds at most one page (65 307 bytes) between pushes.
 */
export class OggPageReader {
  readonly #checkCrc: boolean;
  readonly #stats = { pages: 0, badCrc: 0, skippedBytes: 0 };
  #buffer = new Uint8Array(4096);
  #start = 0;
  #end = 0;
  /** Bytes from #start that must be there before another look is worth it. */
  #needed = 1;
  #rescanBudget = RESCAN_BUDGET;

  constructor(options: OggPageReaderOptions = {}) {
    this.#checkCrc = options.checkCrc ?? true;
  }

  /** Live counters. */
  get stats(): OggPageStats {
    return this.#stats;
  }

  /** Bytes held of a page that is not complete. */
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /** Takes the next bytes and returns the pages they complete; nothing returned refers to `bytes`. */
  push(bytes: Uint8Array): OggPage[] {
    const pages: OggPage[] = [];
    // In portions, so that the buffer stays small however much comes at once.
    for (let at = 0; at < bytes.length; at += PORTION_BYTES) {
      this.#append(bytes.subarray(at, at + PORTION_BYTES));
      while (this.pendingBytes >= this.#needed) {
        const page = this.#next();
        if (page) pages.push(page);
      }
    }
    return pages;
  }

  #append(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#buffer.length) this.#makeRoom(this.pendingBytes + bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** Moves what is held to the front, of a bigger buffer unless it would take up at most half of this one. */
  #makeRoom(bytes: number): void {
    const pending = this.#buffer.subarray(this.#start, this.#end);
    if (this.#buffer.length < 2 * bytes) this.#buffer = new Uint8Array(2 * bytes);
    this.#buffer.set(pending);
    this.#start = 0;
    this.#end = pending.length;
  }

  /** Looks at #start: a page, or undefined after skipping bytes or raising #needed. */
  #next(): OggPage | undefined {
    const at = this.#start;
    const capture = this.#findCapture(at);
    if (capture !== at) {
      this.#skip(capture - at);
      return undefined;
    }
    // Of "OggS" cut short each further byte may tell that it is something else.
    if (!this.#has(Math.min(5, this.pendingBytes + 1))) return undefined;
    const buffer = this.#buffer;
    if (buffer[at + 4] !== 0) {
      this.#skip(1);
      return undefined;
    }
    if (!this.#has(HEADER_BYTES)) return undefined;
    const segmentCount = buffer[at + 26]!;
    if (!this.#has(HEADER_BYTES + segmentCount)) return undefined;
    const bodyAt = at + HEADER_BYTES + segmentCount;
    let length = HEADER_BYTES + segmentCount;
    for (let i = at + HEADER_BYTES; i < bodyAt; i++) length += buffer[i]!;
    if (!this.#has(length)) return undefined;
    const page = buffer.subarray(at, at + length);
    if (this.#checkCrc && !crcIsRight(page)) {
      this.#dropBadPage(length);
      return undefined;
    }
    this.#consume(length);
    this.#stats.pages++;
    return readPage(page, segmentCount);
  }

  #has(bytes: number): boolean {
    this.#needed = bytes;
    return this.pendingBytes >= bytes;
  }

  /** Where "OggS", or at the end of the bytes its beginning, stands. */
  #findCapture(from: number): number {
    const bytes = this.#buffer.subarray(0, this.#end);
    for (let at = bytes.indexOf(CAPTURE[0]!, from); at >= 0; at = bytes.indexOf(CAPTURE[0]!, at + 1)) {
      if (CAPTURE.every((byte, i) => at + i >= this.#end || bytes[at + i] === byte)) return at;
    }
    return this.#end;
  }

  // The length of a bad page may be the very thing that is wrong, so the search goes on inside it. Bytes made to
  // look like many overlapping pages would make that quadratic: past the budget the whole page goes.
  #dropBadPage(length: number): void {
    this.#stats.badCrc++;
    this.#rescanBudget -= length;
    this.#skip(this.#rescanBudget > 0 ? 1 : length);
  }

  #skip(bytes: number): void {
    this.#stats.skippedBytes += bytes;
    this.#consume(bytes);
  }

  #consume(bytes: number): void {
    this.#start += bytes;
    this.#needed = 1;
    this.#rescanBudget = Math.min(RESCAN_BUDGET, this.#rescanBudget + RESCAN_PER_BYTE * bytes);
  }
}

function crcIsRight(page: Uint8Array): boolean {
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  const crc = oggCrc(page.subarray(26), oggCrc(ZERO_CRC, oggCrc(page.subarray(0, 22))));
  return crc === view.getUint32(22, true);
}

function readPage(page: Uint8Array, segmentCount: number): OggPage {
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  const flags = page[5]!;
  const bodyAt = HEADER_BYTES + segmentCount;
  return {
    serial: view.getUint32(14, true),
    sequence: view.getUint32(18, true),
    granule: view.getBigInt64(6, true),
    continued: (flags & 1) !== 0,
    bos: (flags & 2) !== 0,
    eos: (flags & 4) !== 0,
    // Copies: the reader's buffer is used again.
    segments: page.slice(HEADER_BYTES, bodyAt),
    body: page.slice(bodyAt),
  };
}

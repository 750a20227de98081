import type { OggOpusDecoder } from '@moshi/opus';
import { isOpusHead, isOpusTags, type OggPage, OggPageReader } from '@moshi/protocol';
import { FrameCutter } from './frame-cutter';
import { oggPageBytes } from './ogg-page';

// Parsed piece by piece: one message may hold more pages than anybody wants to keep at once.
const sliceBytes = 16 * 1024;
// Decoded without a break: bytes that give no audio must not hold up everybody else.
const pagesPerTurn = 32;
// Kept of the headers that come before there is a decoder; comments beyond that are nobody's loss.
const maxHeaderBytes = 128 * 1024;

// Positions count at 48 kHz, samples at 24.
const GRANULES = 2n;
// Beyond any conversation: a position a client made up.
const LAST_GRANULE = 1n << 50n;

/**
 * The client's Ogg Opus bytes on their way to frames. Bytes wait as they came and are decoded one page at a time, only as
 * far as frames are wanted: a small message can decode to hours. Whole pages are told apart first, so that audio can be
 * dropped at any moment while the headers are kept and the stream stays in step.
 */
export class AudioInput {
  #reader = new OggPageReader();
  readonly #frames = new FrameCutter();
  #decoder: OggOpusDecoder | undefined;
  #bytes: Uint8Array[] = [];
  #pages: OggPage[] = [];
  #headers: Uint8Array[] = [];
  #headerBytes = 0;
  #expected: 'head' | 'tags' | 'audio' = 'head';
  #faults = 0;
  #faultsBefore = 0;
  #dropped = 0;
  /** Samples of the streams before this one. */
  #heardBefore = 0;
  /** Position of this stream: what its last page read tells, in units of 48 kHz. */
  #granule = 0n;

  /** Whole frames decoded and not yet taken. */
  get frames(): number {
    return this.#frames.frames;
  }

  /** Whether bytes wait to be decoded. */
  get backlog(): boolean {
    return this.#bytes.length > 0 || this.#pages.length > 0;
  }

  /** Pages of audio dropped so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Samples of the client that have arrived, decoded or dropped; by the positions of pages, so that lost ones count too. */
  get heard(): number {
    return this.#heardBefore + Number(this.#granule / GRANULES);
  }

  /** The client begins another stream, from sample {@link heard} on: what waits undecoded is forgotten, whole frames stay. */
  renew(): void {
    this.#heardBefore = this.heard;
    this.#granule = 0n;
    this.#faultsBefore += faultsOf(this.#reader);
    this.#reader = new OggPageReader();
    this.#bytes = [];
    this.#pages = [];
    this.#expected = 'head';
  }

  /** From now on audio can be decoded; the headers that came before are given to the decoder first. */
  use(decoder: OggOpusDecoder): void {
    this.#decoder = decoder;
    for (const page of this.#headers) decoder.decode(page);
    this.#headers = [];
  }

  /** Takes bytes to be decoded by {@link fill}. */
  write(bytes: Uint8Array): void {
    this.#bytes.push(bytes);
  }

  /** Decodes until `frames` frames wait, nothing is left, or it is others' turn. True when the stream turned out to be broken. */
  fill(frames: number): boolean {
    for (let pages = 0; pages < pagesPerTurn && this.frames < frames; pages++) {
      const page = this.#nextPage();
      if (!page) break;
      this.#track(page);
      if (this.#decoder) this.#frames.push(this.#decoder.decode(oggPageBytes(page)));
    }
    return this.#newFaults();
  }

  /** The next 1920 samples, or undefined. */
  next(): Float32Array | undefined {
    return this.#frames.next();
  }

  /** Drops all audio that waits, and the audio in `bytes`, but no headers. True when the stream turned out to be broken. */
  drop(bytes?: Uint8Array): boolean {
    this.#frames.clear();
    if (bytes) this.write(bytes);
    for (let page = this.#nextPage(); page; page = this.#nextPage()) {
      if (!this.#track(page)) this.#dropped++;
      else if (this.#decoder) this.#decoder.decode(oggPageBytes(page));
      else this.#keep(page);
    }
    return this.#newFaults();
  }

  /** Frees the decoder. */
  free(): void {
    this.#decoder?.free();
    this.#decoder = undefined;
    this.#bytes = [];
    this.#pages = [];
    this.#frames.clear();
  }

  #nextPage(): OggPage | undefined {
    while (this.#pages.length === 0) {
      const bytes = this.#bytes.shift();
      if (!bytes) return undefined;
      if (bytes.length > sliceBytes) this.#bytes.unshift(bytes.subarray(sliceBytes));
      this.#pages = this.#reader.push(bytes.subarray(0, sliceBytes)).reverse();
    }
    const page = this.#pages.pop();
    // A page on which no packet ends has no position.
    if (page && page.granule > this.#granule && page.granule < LAST_GRANULE) this.#granule = page.granule;
    return page;
  }

  /** Follows the stream from headers to audio; true when this page holds headers and nothing else. */
  #track(page: OggPage): boolean {
    const packetEnds = page.segments.reduce((ends, length) => (length < 255 ? ends + 1 : ends), 0);
    if (page.bos) this.#expected = 'head';
    if (this.#expected === 'head' && isOpusHead(page.body)) {
      this.#expected = 'tags';
      return packetEnds <= 1;
    }
    if (this.#expected === 'tags' && (page.continued || isOpusTags(page.body))) {
      // The comments may take several pages: they end with the first packet that does.
      if (packetEnds > 0) this.#expected = 'audio';
      return packetEnds <= 1;
    }
    return false;
  }

  #keep(page: OggPage): void {
    if (page.bos) {
      this.#headers = [];
      this.#headerBytes = 0;
    }
    const bytes = oggPageBytes(page);
    this.#headerBytes += bytes.length;
    if (this.#headerBytes <= maxHeaderBytes) this.#headers.push(bytes);
  }

  #newFaults(): boolean {
    const faults = this.#faultsBefore + faultsOf(this.#reader) + (this.#decoder?.stats.lost ?? 0);
    const more = faults > this.#faults;
    this.#faults = faults;
    return more;
  }
}

function faultsOf(reader: OggPageReader): number {
  const { badCrc, skippedBytes } = reader.stats;
  return badCrc + skippedBytes;
}

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

/**
 * The client's Ogg Opus bytes on their way to frames. Bytes wait as they came and are decoded one page at a time, only as
 * far as frames are wanted: a small message can decode to hours. Whole pages are told apart first, so that audio can be
 * dropped at any moment while the headers are kept and the stream stays in step.
 */
export class AudioInput {
  readonly #reader = new OggPageReader();
  readonly #frames = new FrameCutter();
  #decoder: OggOpusDecoder | undefined;
  #bytes: Uint8Array[] = [];
  #pages: OggPage[] = [];
  #headers: Uint8Array[] = [];
  #headerBytes = 0;
  #expected: 'head' | 'tags' | 'audio' = 'head';
  #faults = 0;
  #dropped = 0;

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
    return this.#pages.pop();
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
    const { badCrc, skippedBytes } = this.#reader.stats;
    const faults = badCrc + skippedBytes + (this.#decoder?.stats.lost ?? 0);
    const more = faults > this.#faults;
    this.#faults = faults;
    return more;
  }
}

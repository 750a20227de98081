import { OggOpusEncoder } from '@moshi/opus';
import type { DialectName } from '@moshi/protocol';

/** How a family's servers put sound on the wire. */
interface Shape {
  readonly frameMs: 20 | 40;
  readonly packetsPerPage: number;
  /** Where the Ogg headers go: a message of their own, one for each page, or the first message of sound. */
  readonly headers: 'own' | 'each' | 'joined';
  /** All pages of a frame in one message, or one message a page. */
  readonly pages: 'joined' | 'each';
  /** A frame's text goes before its sound. */
  readonly textFirst: boolean;
}

const shapes: Readonly<Record<DialectName, Shape>> = {
  moshi: { frameMs: 40, packetsPerPage: 1, headers: 'own', pages: 'joined', textFirst: false },
  'moshi-rust': { frameMs: 40, packetsPerPage: 1, headers: 'joined', pages: 'each', textFirst: false },
  personaplex: { frameMs: 20, packetsPerPage: 4, headers: 'each', pages: 'joined', textFirst: true },
  'moshi-server': { frameMs: 40, packetsPerPage: 1, headers: 'own', pages: 'joined', textFirst: true },
};

/** The model's side of a conversation: its sound as the dialect's servers send it. */
export class Mouth {
  readonly #encoder: OggOpusEncoder;
  readonly #shape: Shape;
  /** Headers that go with the first sound. */
  #headers: Uint8Array[] = [];
  #begun = false;

  private constructor(encoder: OggOpusEncoder, shape: Shape) {
    this.#encoder = encoder;
    this.#shape = shape;
  }

  static async create(dialect: DialectName): Promise<Mouth> {
    const shape = shapes[dialect];
    const { frameMs, packetsPerPage } = shape;
    // The published servers all count 80 ms of pre-skip at 48 kHz.
    return new Mouth(await OggOpusEncoder.create({ frameMs, packetsPerPage, preSkip: 3840 }), shape);
  }

  /** A frame's text goes before its sound. */
  get textFirst(): boolean {
    return this.#shape.textFirst;
  }

  /** The audio messages right after the handshake; none when the stream has begun. */
  begin(): Uint8Array[] {
    if (this.#begun) return [];
    this.#begun = true;
    const header = this.#encoder.header();
    if (this.#shape.headers === 'each') return splitPages(header);
    if (this.#shape.headers === 'own') return [header];
    this.#headers = [header];
    return [];
  }

  /** The audio messages of whole frames. */
  speak(frames: Float32Array): Uint8Array[] {
    const begin = this.begin();
    const pages = this.#encoder.encode(frames);
    if (pages.length === 0) return begin;
    const [first, ...others] = this.#shape.pages === 'joined' ? [joinBytes(pages)] : pages;
    return [...begin, joinBytes([...this.#headers.splice(0), first!]), ...others];
  }

  free(): void {
    this.#encoder.free();
  }
}

function splitPages(bytes: Uint8Array): Uint8Array[] {
  const second = bytes.findIndex((_, at) => at > 0 && String.fromCharCode(...bytes.subarray(at, at + 4)) === 'OggS');
  return [bytes.slice(0, second), bytes.slice(second)];
}

function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

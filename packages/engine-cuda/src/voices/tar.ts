/** One entry of a tar archive. Its body is read with `body()` before the next entry is asked for, or skipped. */
export interface TarEntry {
  /** The path as written, long names resolved; untrusted. */
  readonly name: string;
  /** `link` and `other` (devices, pipes, sparse files, kinds unknown) are told, not followed. */
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  /** Bytes of the body. */
  readonly size: number;
  body(): AsyncGenerator<Buffer, void, undefined>;
}

/** The bytes are no whole tar archive; the message says what is wrong, with no name of the archive. */
export class TarError extends Error {
  override readonly name = 'TarError';
}

/** How much an archive may hold. */
export interface TarLimits {
  /** Bytes of the whole archive, headers included. */
  readonly bytes: number;
  /** Headers of any kind. */
  readonly headers: number;
}

const BLOCK = 512;
/** Long names and pax records are a few hundred bytes; nothing needs more. */
const MAX_EXTENSION_BYTES = 64 * 1024;

/**
 * The entries of a tar archive (ustar, GNU, pax) in order, without ever holding more than a chunk of it. Throws {@link TarError} for
 * anything damaged, cut short or beyond the limits.
 */
export async function* readTar(
  chunks: AsyncIterable<Uint8Array>,
  limits: TarLimits,
): AsyncGenerator<TarEntry, void, undefined> {
  const source = new ByteSource(chunks, limits.bytes);
  let longName: string | undefined;
  let pax = new Map<string, string>();
  for (let headers = 0; ; headers++) {
    const block = await source.take(BLOCK);
    if (block === undefined) throw new TarError('it is cut short');
    if (block.every((byte) => byte === 0)) {
      await source.drain();
      return;
    }
    if (headers >= limits.headers) throw new TarError(`it has more than ${limits.headers} entries`);
    const header = parseHeader(block);
    switch (header.type) {
      case 'L':
        longName = textOf(await source.extension(header.size));
        continue;
      case 'K':
        await source.extension(header.size);
        continue;
      case 'x':
        pax = parsePax(await source.extension(header.size));
        continue;
      case 'g': {
        // One that renames or resizes everything after it is a trick, not an archive.
        const global = parsePax(await source.extension(header.size));
        if (global.has('path') || global.has('size')) throw new TarError('it has a global path or size record');
        continue;
      }
    }
    const name = pax.get('path') ?? longName ?? header.name;
    const size = sizeOf(pax, header.size);
    const sparse = [...pax.keys()].some((key) => key.startsWith('GNU.sparse'));
    longName = undefined;
    pax = new Map();
    // Only files have a body, whatever else their header says: so do tar programs read it.
    const kind = sparse ? 'other' : kindOf(header.type, name);
    const bytes = kind === 'folder' || kind === 'link' ? 0 : size;
    const end = source.position + Math.ceil(bytes / BLOCK) * BLOCK;
    yield { name, kind, size: bytes, body: () => source.body(bytes) };
    await source.skip(end - source.position);
  }
}

function kindOf(type: string, name: string): TarEntry['kind'] {
  if (type === '5') return 'folder';
  // Before ustar, a folder was a file whose name ends so.
  if (type === '\0' || type === '0' || type === '7') return name.endsWith('/') ? 'folder' : 'file';
  return type === '1' || type === '2' ? 'link' : 'other';
}

function parseHeader(block: Buffer): { name: string; type: string; size: number } {
  const expected = octal(block.subarray(148, 156));
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : block[i]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  // Some old programs summed signed bytes.
  if (expected !== unsigned && expected !== signed) throw new TarError('the checksum of an entry is wrong');
  const name = textOf(block.subarray(0, 100));
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isUstar ? textOf(block.subarray(345, 500)) : '';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    type: String.fromCharCode(block[156]!),
    size: numberOf(block.subarray(124, 136)),
  };
}

/** A size: octal digits, or GNU's big-endian binary for large ones. */
function numberOf(field: Buffer): number {
  const first = field[0]!;
  if ((first & 0x80) === 0) return octal(field);
  if (first !== 0x80) throw new TarError('the size of an entry is negative');
  let value = 0;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  return checkSize(value);
}

function octal(field: Buffer): number {
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trimStart();
  if (!/^[0-7]{0,12}$/.test(text)) throw new TarError('a number in the header of an entry is none');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

function sizeOf(pax: ReadonlyMap<string, string>, size: number): number {
  const text = pax.get('size');
  if (text === undefined) return size;
  if (!/^\d{1,15}$/.test(text)) throw new TarError('the size of an entry is no number');
  return checkSize(Number(text));
}

function checkSize(size: number): number {
  if (!Number.isSafeInteger(size)) throw new TarError('the size of an entry is beyond all bounds');
  return size;
}

/** Records of the form `27 path=some/long/name\n`, the number being the record's own length. */
function parsePax(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = bytes.toString('latin1', at, Math.max(at, Math.min(space, at + 8)));
    const length = /^[1-9]\d*$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space);
    if (length === 0 || end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw new TarError('a pax record of it is broken');
    }
    records.set(bytes.toString('utf8', space + 1, equals), bytes.toString('utf8', equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** Text up to its first zero byte. */
function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

/** Takes pieces of any size out of chunks of any size, and counts. */
class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #limit: number;
  #rest: Buffer = Buffer.alloc(0);
  #received = 0;

  constructor(chunks: AsyncIterable<Uint8Array>, limit: number) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#limit = limit;
  }

  /** Bytes taken so far. */
  get position(): number {
    return this.#received - this.#rest.length;
  }

  /** Exactly `count` bytes; undefined when there is none left. */
  async take(count: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for await (const part of this.body(count, true)) parts.push(part);
    return parts.length === 0 && count > 0 ? undefined : Buffer.concat(parts);
  }

  /** The body of an entry that describes the next one. */
  async extension(size: number): Promise<Buffer> {
    if (size > MAX_EXTENSION_BYTES) throw new TarError('a name in it is too long');
    const bytes = await this.take(size);
    if (bytes === undefined) throw new TarError('it is cut short');
    await this.skip((BLOCK - (size % BLOCK)) % BLOCK);
    return bytes;
  }

  async *body(count: number, mayEnd = false): AsyncGenerator<Buffer, void, undefined> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        if (mayEnd && left === count) return;
        throw new TarError('it is cut short');
      }
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async skip(count: number): Promise<void> {
    for await (const _ of this.body(count)) {
      // Padding.
    }
  }

  /** Reads to the end, where the compression's own checksum stands. */
  async drain(): Promise<void> {
    while (await this.#more());
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#received += value.length;
    if (this.#received > this.#limit) {
      throw new TarError(`it unpacks to more than ${Math.floor(this.#limit / 1e6)} MB`);
    }
    this.#rest = Buffer.from(value.buffer, value.byteOffset, value.length);
    return true;
  }
}

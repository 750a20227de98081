import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { OggPageWriter } from '../src/index';

/** Bytes of a file under test/fixtures. */
export function fixture(path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`./fixtures/${path}`, import.meta.url)));
}

/** A JSON file under test/fixtures. */
export function fixtureJson<T>(path: string): T {
  return JSON.parse(new TextDecoder().decode(fixture(path))) as T;
}

/** What expected.json says of one Ogg file. */
export interface ExpectedOgg {
  bytes: number;
  /** flags, granule, serial, sequence, segments, body bytes */
  pages: [number, number, number, number, number, number][];
  pre_skip: number[];
  packet_sizes: number[];
  packet_sha256_16: string;
  packet_samples_24k: number[];
  libopus24_samples: number;
}

/** The Ogg Opus fixtures: name, bytes, what is in them. */
export const oggFiles = Object.entries(fixtureJson<Record<string, ExpectedOgg>>('ogg-opus/expected.json')).map(
  ([name, expected]) => ({ name, expected, bytes: fixture(`ogg-opus/${name}.opus`) }),
);

export function oggFile(name: string): { expected: ExpectedOgg; bytes: Uint8Array } {
  const file = oggFiles.find((candidate) => candidate.name === name);
  if (!file) throw new Error(`no fixture ${name}`);
  return file;
}

export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

export function toHex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Numbers that are random to look at and the same in every run. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  /** Whole number from 0 to below `limit`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
  /** Cuts bytes into pieces of 0 to `longest` bytes. */
  split(bytes: Uint8Array, longest = 700): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = this.below(longest + 1);
      pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
    return pieces;
  }
}

/** The ways a stream of bytes may arrive: whole, byte by byte, and cut at random. */
export function splits(bytes: Uint8Array): [string, Uint8Array[]][] {
  const random = [1, 2, 3].map((seed): [string, Uint8Array[]] => [
    `random split ${seed}`,
    new Random(seed).split(bytes, [5, 60, 1500][seed - 1]!),
  ]);
  return [['whole', [bytes]], ['byte by byte', Array.from(bytes, (byte) => Uint8Array.of(byte))], ...random];
}

/** The hash of expected.json: over (u32 little endian size + packet) of all packets, first 16 hex digits. */
export function packetHash(packets: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const packet of packets) {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, packet.length, true);
    hash.update(size).update(packet);
  }
  return hash.digest('hex').slice(0, 16);
}

/** Pages of one packet each, the first of them BOS, for streams built by hand. */
export function pagesOf(serial: number, packets: readonly Uint8Array[], options: { eos?: boolean } = {}): Uint8Array[] {
  const writer = new OggPageWriter({ serial });
  return packets.map((packet, i) =>
    writer.page([packet], {
      granule: BigInt(i),
      bos: i === 0,
      eos: options.eos === true && i === packets.length - 1,
    }),
  );
}

/** A page with any header: the lacing table and the body need not agree with any packet. */
export function rawPage(
  serial: number,
  sequence: number,
  { continued = false, bos = sequence === 0, lacing = [] as number[], body = new Uint8Array(0) as Uint8Array },
): Uint8Array {
  const page = new Uint8Array(27 + lacing.length + body.length);
  const view = new DataView(page.buffer);
  page.set(utf8('OggS'));
  page[5] = (continued ? 1 : 0) | (bos ? 2 : 0);
  view.setBigInt64(6, BigInt(sequence), true);
  view.setUint32(14, serial, true);
  view.setUint32(18, sequence, true);
  page[26] = lacing.length;
  page.set(lacing, 27);
  page.set(body, 27 + lacing.length);
  return page;
}

/** Collects garbage now. */
export function collectGarbage(): void {
  setFlagsFromString('--expose_gc');
  (runInNewContext('gc') as () => void)();
}

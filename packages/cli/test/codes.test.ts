import { describe, expect, it } from 'vitest';
import { CodesError, readCodes, writeCodes } from '../src/index';
import { seeded } from './support/random';

const random = seeded(3);
const codes = Int32Array.from({ length: 8 * 25 }, () => random(2048));
const file = writeCodes({ codebooks: 8, frames: 25, codes });

describe('a codes file', () => {
  it('comes back as it was written', () => {
    expect(readCodes(file)).toEqual({ codebooks: 8, frames: 25, codes });
    expect(readCodes(writeCodes({ codebooks: 1, frames: 0, codes: new Int32Array(0) })).frames).toBe(0);
    const edges = Int32Array.of(0, 65_535);
    expect(readCodes(writeCodes({ codebooks: 2, frames: 1, codes: edges })).codes).toEqual(edges);
  });

  it('has the documented bytes', () => {
    const bytes = writeCodes({ codebooks: 2, frames: 3, codes: Int32Array.of(1, 2, 3, 256, 257, 258) });
    expect([...bytes]).toEqual([
      ...[0x4d, 0x49, 0x4d, 0x49, 1, 0, 2, 0, 3, 0, 0, 0],
      ...[1, 0, 2, 0, 3, 0, 0, 1, 1, 1, 2, 1],
    ]);
  });

  it('is read from the middle of a buffer too', () => {
    const inside = new Uint8Array(file.length + 7);
    inside.set(file, 7);
    expect(readCodes(inside.subarray(7)).codes).toEqual(codes);
  });

  it('is not written from what does not fit', () => {
    expect(() => writeCodes({ codebooks: 8, frames: 24, codes })).toThrow(RangeError);
    expect(() => writeCodes({ codebooks: 0, frames: 0, codes: new Int32Array(0) })).toThrow(RangeError);
    expect(() => writeCodes({ codebooks: 1, frames: 1, codes: Int32Array.of(-1) })).toThrow(/-1 does not fit/);
    expect(() => writeCodes({ codebooks: 1, frames: 1, codes: Int32Array.of(65_536) })).toThrow(RangeError);
  });
});

describe('a damaged file', () => {
  it.each([
    ['nothing', new Uint8Array(0), /not a codes file/],
    ['another file', new TextEncoder().encode('RIFF and so on, a WAV'), /not a codes file.*moshi encode/],
    ['one byte less', file.subarray(0, -1), /damaged/],
    ['one byte more', Uint8Array.from([...file, 0]), /damaged/],
    ['another version', file.with(4, 2), /version 2/],
    ['no codebooks', file.with(6, 0), /0 codebooks/],
    ['too many codebooks', file.with(7, 255), /codebooks, possible/],
    ['endless frames', file.with(11, 255), /damaged/],
  ])('%s is an error that names the cure', (_name, bytes, message) => {
    expect(() => readCodes(bytes)).toThrow(CodesError);
    expect(() => readCodes(bytes)).toThrow(message);
  });

  it('never does more than throw that error, whatever the bytes', () => {
    for (let i = 0; i < 20_000; i++) {
      const bytes = file.slice(0, random(3) === 0 ? random(file.length) : file.length);
      const edits = random(4);
      for (let edit = 0; edit < edits && bytes.length > 0; edit++)
        bytes[random(Math.min(14, bytes.length))] = random(256);
      try {
        const read = readCodes(bytes);
        expect(read.codes).toHaveLength(read.codebooks * read.frames);
      } catch (error) {
        if (!(error instanceof CodesError)) throw error;
      }
    }
  });
});

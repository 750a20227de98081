import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readWav, type WavEncoding, WavError, writeWav } from '../../src/audio';
import { Random } from '../helpers';

const tone = (samples: number, step: number) =>
  Float32Array.from({ length: samples }, (_, i) => 0.8 * Math.sin(i * step));
const left = tone(1000, 0.05);
const right = tone(1000, 0.3);
const encodings: [WavEncoding, bits: number, error: number][] = [
  ['pcm8', 8, 1 / 128],
  ['pcm16', 16, 1 / 32_768],
  ['pcm24', 24, 1e-6],
  ['pcm32', 32, 1e-7],
  ['float32', 32, 0],
  ['float64', 64, 0],
];

function furthest(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, sample, i) => Math.max(most, Math.abs(sample - b[i]!)), 0);
}

describe('a round trip', () => {
  for (const [encoding, bits, error] of encodings) {
    for (const extensible of [false, true]) {
      it(`keeps ${encoding}${extensible ? ' (extensible)' : ''}`, () => {
        const wav = readWav(writeWav(left, { encoding, extensible, sampleRate: 44_100 }));
        const format = encoding.startsWith('float') ? 'float' : 'pcm';
        expect(wav).toMatchObject({ sampleRate: 44_100, channels: 1, bits, format });
        expect(furthest(wav.pcm, left)).toBeLessThanOrEqual(error);
      });
    }
  }

  it('of PCM is exact to the bit where the samples are', () => {
    const exact = Float32Array.from({ length: 65_536 }, (_, i) => (i - 32_768) / 32_768);
    for (const encoding of ['pcm16', 'pcm24', 'pcm32'] as const) {
      expect(furthest(readWav(writeWav(exact, { encoding })).pcm, exact)).toBe(0);
    }
  });

  it('mixes channels to their mean', () => {
    for (const count of [2, 3, 6, 64]) {
      const channels = Array.from({ length: count }, (_, i) => (i % 2 === 0 ? left : right));
      const share = Math.ceil(count / 2) / count;
      const mean = left.map((sample, i) => sample * share + right[i]! * (1 - share));
      const wav = readWav(writeWav(channels, { encoding: 'float32' }));
      expect(wav.channels).toBe(count);
      expect(furthest(wav.pcm, mean)).toBeLessThan(1e-6);
    }
  });

  it('clips what is too loud and silences what is no number', () => {
    const wild = Float32Array.of(2, -2, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5);
    expect([...readWav(writeWav(wild, { encoding: 'float32' })).pcm]).toEqual([1, -1, 0, 1, -1, 0.5]);
    const whole = readWav(writeWav(wild)).pcm;
    expect(whole[0]).toBeCloseTo(1, 4);
    expect([...whole.subarray(1, 3)]).toEqual([-1, 0]);
  });

  it('of no samples gives no samples', () => {
    expect(readWav(writeWav(new Float32Array(0))).pcm).toHaveLength(0);
  });

  it('refuses to write channels that do not match', () => {
    expect(() => writeWav([left, right.subarray(1)])).toThrow(RangeError);
    expect(() => writeWav([])).toThrow(RangeError);
  });
});

describe('files of other programs', () => {
  const examples = new URL('../../../../examples/audio/', import.meta.url);

  it('are read', () => {
    const names = readdirSync(examples).filter((name) => name.endsWith('.wav'));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const bytes = readFileSync(new URL(name, examples));
      const wav = readWav(bytes);
      expect(wav.pcm.length / wav.sampleRate).toBeGreaterThan(1);
      expect(wav.pcm.some((sample) => Math.abs(sample) > 0.05)).toBe(true);
    }
  });

  const withChunks = (before: number[], after: number[]) => {
    const plain = writeWav(left);
    return Uint8Array.from([...plain.subarray(0, 36), ...before, ...plain.subarray(36), ...after]);
  };
  const list = [...'LIST'].map((c) => c.charCodeAt(0));

  it('may have other chunks, padded to even sizes, around the sound', () => {
    const wav = readWav(withChunks([...list, 3, 0, 0, 0, 1, 2, 3, 0], [...list, 4, 0, 0, 0, 1, 2, 3, 4]));
    expect(furthest(wav.pcm, left)).toBeLessThan(1e-4);
  });

  it('may be cut off, or have the sizes of a stream', () => {
    const whole = writeWav(left);
    expect(readWav(whole.subarray(0, whole.length - 501)).pcm).toHaveLength(749);
    for (const [riff, data] of [
      [0xffffffff, 0xffffffff],
      [36, 0],
      [0, 0],
    ] as const) {
      const streamed = whole.slice();
      const view = new DataView(streamed.buffer);
      view.setUint32(4, riff, true);
      view.setUint32(40, data, true);
      expect(readWav(streamed).pcm).toHaveLength(1000);
    }
  });

  it('may be empty and yet have chunks after the sound', () => {
    const empty = Uint8Array.from([...writeWav(new Float32Array(0)), ...list, 4, 0, 0, 0, 1, 2, 3, 4]);
    new DataView(empty.buffer).setUint32(4, empty.length - 8, true);
    expect(readWav(empty).pcm).toHaveLength(0);
  });

  it('may be RF64', () => {
    const whole = writeWav(left);
    const ds64 = new Uint8Array(8 + 28);
    ds64.set([...'ds64'].map((c) => c.charCodeAt(0)));
    const view = new DataView(ds64.buffer);
    view.setUint32(4, 28, true);
    view.setBigUint64(16, 1000n, true);
    const bytes = Uint8Array.from([...whole.subarray(0, 12), ...ds64, ...whole.subarray(12)]);
    bytes.set([0x52, 0x46, 0x36, 0x34]);
    new DataView(bytes.buffer).setUint32(40 + 36, 0xffffffff, true);
    expect(readWav(bytes).pcm).toHaveLength(500);
  });

  it('may keep 20 bits at the top of 24, or 24 in 32', () => {
    const inside = (encoding: 'pcm24' | 'pcm32', bits: number) => {
      const bytes = writeWav(left, { encoding });
      new DataView(bytes.buffer).setUint16(34, bits, true);
      return readWav(bytes);
    };
    expect(furthest(inside('pcm24', 20).pcm, left)).toBeLessThan(1e-6);
    expect(inside('pcm32', 24)).toMatchObject({ bits: 24 });
    expect(furthest(inside('pcm32', 24).pcm, left)).toBeLessThan(1e-6);
  });
});

describe('what is no such file', () => {
  const patched = (offset: number, value: number, bytes = writeWav(left)) => {
    new DataView(bytes.buffer).setUint16(offset, value, true);
    return bytes;
  };

  it.each([
    ['nothing', new Uint8Array(0), /not a WAV file.*ffmpeg/],
    ['text', new TextEncoder().encode('hello, this is not a WAV file'), /not a WAV file/],
    ['only the start', writeWav(left).subarray(0, 12), /no format/],
    ['half a format', writeWav(left).subarray(0, 30), /cut short/],
    ['no sound', writeWav(left).subarray(0, 36), /no sound/],
    ['A-law', patched(20, 6), /compressed \(format 0x0006\).*ffmpeg/],
    ['MP3 in WAV', patched(20, 0x55), /compressed/],
    ['no channels', patched(22, 0), /0 channels/],
    ['0 bits', patched(34, 0), /0 bits/],
    ['64-bit PCM', patched(32, 8, patched(34, 64)), /64 bits/],
    ['a block that does not fit', patched(32, 3, patched(34, 24, patched(22, 2))), /24 bits in 3 bytes/],
    ['float of 24 bits', patched(20, 3, patched(34, 24, patched(32, 4))), /24 bits/],
    ['4 kHz', writeWav(left, { sampleRate: 4000 }), /4000 Hz is outside 8000 to 192000/],
    ['1 MHz', writeWav(left, { sampleRate: 1_000_000 }), /outside/],
  ])('%s is an error that names the cure', (_name, bytes, message) => {
    expect(() => readWav(bytes)).toThrow(WavError);
    expect(() => readWav(bytes)).toThrow(message);
  });

  it('never does more than throw that error, whatever the bytes', () => {
    const random = (below: number) => source.below(below);
    const source = new Random(7);
    const seeds = encodings.flatMap(([encoding]) =>
      [false, true].map((extensible) =>
        writeWav([left.subarray(0, 50), right.subarray(0, 50)], { encoding, extensible }),
      ),
    );
    let read = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = seeds[random(seeds.length)]!.slice(0, 12 + random(500));
      const edits = 1 + random(6);
      for (let edit = 0; edit < edits; edit++) {
        const at = random(Math.min(bytes.length, 80));
        bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random(256)][random(6)]!;
      }
      try {
        const { pcm } = readWav(bytes);
        read++;
        expect(pcm.length).toBeLessThanOrEqual(bytes.length);
        expect(pcm.every((sample) => sample >= -1 && sample <= 1)).toBe(true);
      } catch (error) {
        if (!(error instanceof WavError)) throw error;
      }
    }
    expect(read).toBeGreaterThan(1000);
  });

  it('is searched in no time even if all its chunks are empty', () => {
    const bytes = new Uint8Array(4_000_000);
    bytes.set(writeWav(left).subarray(0, 36));
    expect(() => readWav(bytes)).toThrow(WavError);
  });
});

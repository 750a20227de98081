import { describe, expect, it } from 'vitest';
import { dbfs, muLaw, pcm16, Resampler, resample, rms } from '../../src/audio';

const tone = (hz: number, rate: number, seconds = 0.5, level = 0.5) =>
  Float32Array.from({ length: Math.round(rate * seconds) }, (_, i) => level * Math.sin((2 * Math.PI * hz * i) / rate));

describe('µ-law', () => {
  it('has the values of the G.711 table', () => {
    // Code, 14-bit value of the standard's table (times 4 in 16 bits).
    const table: [number, number][] = [
      [0x80, 8031],
      [0x8f, 4191],
      [0x9f, 2079],
      [0xaf, 1023],
      [0xbf, 495],
      [0xcf, 231],
      [0xdf, 99],
      [0xef, 33],
      [0xfe, 2],
      [0xff, 0],
      [0x7f, 0],
      [0x7e, -2],
      [0x00, -8031],
    ];
    for (const [code, value] of table) {
      expect(muLaw.decode(Uint8Array.of(code))[0]! * 8192 + 0, `code ${code}`).toBe(value);
    }
  });

  it('keeps every code but the second zero', () => {
    const codes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const again = muLaw.encode(muLaw.decode(codes));
    for (const code of codes) expect(again[code]).toBe(code === 0x7f ? 0xff : code);
  });

  it('cuts what is too loud and silences what is no number', () => {
    expect([...muLaw.encode(Float32Array.of(5, -5, Number.NaN, 0))]).toEqual([0x80, 0x00, 0xff, 0xff]);
  });

  it('errs by at most a sixteenth of the sample', () => {
    const pcm = tone(300, 8000);
    const again = muLaw.decode(muLaw.encode(pcm));
    for (const [i, sample] of pcm.entries()) {
      expect(Math.abs(again[i]! - sample)).toBeLessThanOrEqual(Math.abs(sample) / 16 + 3e-4);
    }
  });
});

describe('16-bit PCM', () => {
  it('is little-endian, clamped and kept', () => {
    expect([...pcm16.encode(Float32Array.of(0, 0.5, -1, 1, 3, Number.NaN))]).toEqual([
      0, 0, 0, 0x40, 0, 0x80, 0xff, 0x7f, 0xff, 0x7f, 0, 0,
    ]);
    const bytes = Uint8Array.from({ length: 1001 }, (_, i) => (i * 97) & 0xff);
    expect([...pcm16.encode(pcm16.decode(bytes))]).toEqual([...bytes.subarray(0, 1000)]);
  });
});

describe('level', () => {
  it('is that of the signal', () => {
    expect(rms(new Float32Array(0))).toBe(0);
    expect(dbfs(new Float32Array(10))).toBe(-Infinity);
    expect(dbfs(new Float32Array(10).fill(-0.1))).toBeCloseTo(-20, 4);
    expect(dbfs(tone(1000, 24_000, 1, 1))).toBeCloseTo(-3.01, 2);
  });
});

describe('the streaming resampler', () => {
  const routes: [number, number][] = [
    [8000, 24_000],
    [24_000, 8000],
    [16_000, 24_000],
    [44_100, 24_000],
    [24_000, 48_000],
    [48_000, 44_100],
  ];
  for (const [from, to] of routes) {
    it(`gives the samples of one go from ${from} to ${to} Hz, however it is cut`, () => {
      const pcm = tone(777, from);
      const whole = resample(pcm, from, to);
      expect(whole).toHaveLength(Math.ceil((pcm.length * to) / from));
      for (const size of [1, 160, 1920, 7777]) {
        const resampler = new Resampler(from, to);
        const out: number[] = [];
        for (let at = 0; at < pcm.length; at += size) out.push(...resampler.push(pcm.subarray(at, at + size)));
        // It lags by half its kernel, no more.
        expect(whole.length - out.length).toBeLessThanOrEqual(Math.ceil((68 * to) / Math.min(from, to)));
        out.push(...resampler.flush());
        expect(Float32Array.from(out)).toEqual(whole);
        // It is as new after that.
        const again = [...resampler.push(pcm), ...resampler.flush()];
        expect(Float32Array.from(again)).toEqual(whole);
      }
    });
  }

  it('keeps no more than it needs', () => {
    const resampler = new Resampler(8000, 24_000);
    let samples = 0;
    for (let i = 0; i < 5000; i++) samples += resampler.push(new Float32Array(160)).length;
    expect(samples).toBeGreaterThan(5000 * 480 - 300);
  });

  it('passes samples through when the rates are the same, and refuses rates that are none', () => {
    const pcm = tone(100, 8000, 0.01);
    const same = new Resampler(8000, 8000);
    expect(same.push(pcm)).toEqual(pcm);
    expect(same.push(pcm)).not.toBe(pcm);
    expect(same.flush()).toHaveLength(0);
    for (const bad of [0, -1, 1.5, Number.NaN]) expect(() => new Resampler(bad, 8000)).toThrow(RangeError);
  });
});

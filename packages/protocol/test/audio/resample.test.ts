import { describe, expect, it } from 'vitest';
import { resample } from '../../src/audio';

const RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000];

function sine(hz: number, rate: number, seconds = 0.48, level = 0.5): Float32Array {
  return Float32Array.from(
    { length: Math.round(rate * seconds) },
    (_, i) => level * Math.sin((2 * Math.PI * hz * i) / rate),
  );
}

/** Level of one frequency in a signal, from its middle (edges have no past or future), as the sine's amplitude. */
function level(pcm: Float32Array, hz: number, rate: number): number {
  const from = Math.floor(pcm.length / 5);
  const to = pcm.length - from;
  let real = 0;
  let imaginary = 0;
  let weights = 0;
  for (let i = from; i < to; i++) {
    const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * (i - from)) / (to - from));
    const angle = (2 * Math.PI * hz * i) / rate;
    real += window * pcm[i]! * Math.cos(angle);
    imaginary += window * pcm[i]! * Math.sin(angle);
    weights += window;
  }
  return (2 * Math.hypot(real, imaginary)) / weights;
}

function loudest(pcm: Float32Array): number {
  const edge = Math.floor(pcm.length / 5);
  return pcm.subarray(edge, pcm.length - edge).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
}

const decibels = (ratio: number) => 20 * Math.log10(ratio);

describe('to 24 kHz', () => {
  it.each(RATES)('a tone at %i Hz keeps frequency, level and time', (rate) => {
    for (const hz of [100, 440, 1000, 3000, 0.44 * Math.min(rate, 24_000)]) {
      const out = resample(sine(hz, rate), rate, 24_000);
      expect(out).toHaveLength(11_520);
      const expected = sine(hz, 24_000);
      let worst = 0;
      for (let i = 2000; i < 10_000; i++) worst = Math.max(worst, Math.abs(out[i]! - expected[i]!));
      expect(decibels(worst / 0.5)).toBeLessThan(-60);
    }
  });

  it.each(RATES.filter((rate) => rate > 24_000))('what %i Hz has above 12 kHz is gone, and leaves no alias', (rate) => {
    for (const hz of [12_050, 13_000, 16_000, 21_000, rate / 2 - 100]) {
      if (hz >= rate / 2) continue;
      expect(decibels(loudest(resample(sine(hz, rate), rate, 24_000)) / 0.5)).toBeLessThan(-60);
    }
  });

  it.each(RATES.filter((rate) => rate < 24_000))('from %i Hz makes no images above the old band', (rate) => {
    for (const hz of [rate * 0.1, rate * 0.3, rate * 0.45]) {
      const out = resample(sine(hz, rate), rate, 24_000);
      expect(level(out, hz, 24_000)).toBeCloseTo(0.5, 3);
      for (const image of [rate - hz, rate + hz, 2 * rate - hz].filter((frequency) => frequency < 12_000)) {
        expect(decibels(level(out, image, 24_000) / 0.5)).toBeLessThan(-60);
      }
    }
  });
});

describe('any rates', () => {
  it('there and back gives the same sound', () => {
    const start = sine(440, 24_000).map((sample, i) => sample + 0.3 * Math.sin(i * 0.9));
    const back = resample(resample(start, 24_000, 44_100), 44_100, 24_000);
    let worst = 0;
    for (let i = 2000; i < 10_000; i++) worst = Math.max(worst, Math.abs(back[i]! - start[i]!));
    expect(worst).toBeLessThan(0.8e-3);
  });

  it('with odd ratios work too', () => {
    for (const rate of [8001, 12_345, 47_999]) {
      const out = resample(sine(1000, rate, 0.3), rate, 24_000);
      expect(Math.abs(out.length - 7200)).toBeLessThanOrEqual(2);
      expect(level(out, 1000, 24_000)).toBeCloseTo(0.5, 3);
    }
  });

  it('keep a constant constant, to the last sample from each edge on', () => {
    const out = resample(new Float32Array(4000).fill(0.25), 16_000, 24_000);
    expect(out.subarray(200, 5800).every((sample) => Math.abs(sample - 0.25) < 1e-6)).toBe(true);
  });

  it('that are the same copy', () => {
    const pcm = sine(440, 24_000, 0.01);
    const out = resample(pcm, 24_000, 24_000);
    expect(out).toEqual(pcm);
    out[0] = 9;
    expect(pcm[0]).toBe(0);
  });

  it('of nothing, and of one sample, work', () => {
    expect(resample(new Float32Array(0), 48_000, 24_000)).toHaveLength(0);
    expect(resample(Float32Array.of(1), 8000, 24_000)).toHaveLength(3);
  });

  it('that are none are refused', () => {
    for (const rate of [0, -1, 1.5, Number.NaN])
      expect(() => resample(new Float32Array(1), rate, 24_000)).toThrow(RangeError);
  });
});

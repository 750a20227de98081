import { SAMPLE_RATE } from '@moshi/protocol';
import { rms } from '@moshi/protocol/audio';

/** Samples of one window of an envelope: 10 ms. */
const WINDOW = SAMPLE_RATE / 100;

/** A pure tone: 24 kHz mono, `amplitude` (default 0.5) at its peaks. */
export function tone(hz: number, seconds: number, amplitude = 0.5): Float32Array {
  const pcm = new Float32Array(Math.round(seconds * SAMPLE_RATE));
  for (let i = 0; i < pcm.length; i++) pcm[i] = amplitude * Math.sin((2 * Math.PI * hz * i) / SAMPLE_RATE);
  return pcm;
}

/** What has the shape of speech, 24 kHz mono: a voice of 180 Hz with harmonics, in syllables and pauses; the same one for the same seed. */
export function speechLike(seconds: number, seed = 1): Float32Array {
  const random = randomNumbers(seed);
  const pcm = new Float32Array(Math.round(seconds * SAMPLE_RATE));
  let level = 0;
  let target = 0;
  for (let i = 0; i < pcm.length; i++) {
    if (i % 3600 === 0) target = random() < 0.3 ? 0 : 0.2 + 0.6 * random();
    level += (target - level) * 0.002;
    let sum = 0;
    for (let h = 1; h <= 5; h++) sum += Math.sin((2 * Math.PI * 180 * h * i) / SAMPLE_RATE) / h;
    pcm[i] = 0.5 * level * sum;
  }
  return pcm;
}

/** What {@link compareEnvelopes} found. */
export interface EnvelopeComparison {
  /** From -1 to 1, which is the same loudness at every moment but for a factor; 0 when one side is even. */
  readonly correlation: number;
  /** By how much the second sound is late, in steps of 10 ms. */
  readonly delayMs: number;
}

/**
 * How alike the loudness of two sounds (24 kHz mono) is over time, where they are most alike with the second one late by 0 to
 * `maxDelayMs` (default 1500). A codec changes every sample and keeps this; a lost or doubled word spoils it.
 */
export function compareEnvelopes(
  a: Float32Array,
  b: Float32Array,
  options: { readonly maxDelayMs?: number } = {},
): EnvelopeComparison {
  const [x, y] = [envelope(a), envelope(b)];
  // What overlaps by less than half says little, and is often alike by chance.
  const latest = Math.min((options.maxDelayMs ?? 1500) / 10, y.length - Math.min(x.length, y.length) / 2);
  let best = { correlation: -1, delayMs: 0 };
  for (let delay = 0; delay <= latest; delay++) {
    const found = correlation(x, y.subarray(delay));
    if (found > best.correlation) best = { correlation: found, delayMs: delay * 10 };
  }
  return best;
}

/** A seeded generator of numbers in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** RMS in windows of 10 ms. */
function envelope(pcm: Float32Array): Float64Array {
  return Float64Array.from({ length: Math.floor(pcm.length / WINDOW) }, (_, i) =>
    rms(pcm.subarray(i * WINDOW, (i + 1) * WINDOW)),
  );
}

function correlation(x: Float64Array, y: Float64Array): number {
  const n = Math.min(x.length, y.length);
  const mean = (values: Float64Array) => values.subarray(0, n).reduce((sum, value) => sum + value, 0) / n;
  const [mx, my] = [mean(x), mean(y)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [dx, dy] = [x[i]! - mx, y[i]! - my];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xy / Math.sqrt(xx * yy || 1);
}

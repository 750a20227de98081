import { compareEnvelopes } from '@moshi/client/testing';

/** A seeded random number in [0, 1) (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x100000000;
  };
}

/** Something like speech: a harmonic tone of `hertz` whose loudness follows syllables of random length. */
export function speech(frames: number, hertz = 140, seed = 1): Float32Array {
  const next = random(seed);
  const pcm = new Float32Array(frames * 1920);
  let loudness = 0;
  let target = 0;
  let left = 0;
  for (let i = 0; i < pcm.length; i++) {
    if (left-- <= 0) {
      left = 1500 + next() * 5000;
      target = next() < 0.35 ? 0 : 0.1 + 0.4 * next();
    }
    loudness += (target - loudness) / 400;
    const phase = (2 * Math.PI * hertz * i) / 24000;
    pcm[i] = loudness * (0.5 * Math.sin(phase) + 0.3 * Math.sin(2 * phase) + 0.2 * Math.sin(3 * phase));
  }
  return pcm;
}

/** A steady tone. */
export function tone(frames: number, hertz: number): Float32Array {
  return Float32Array.from({ length: frames * 1920 }, (_, i) => 0.4 * Math.sin((2 * Math.PI * hertz * i) / 24000));
}

/** Strength of one frequency in a signal, 0 to about its amplitude. */
export function strength(pcm: Float32Array, hertz: number): number {
  let re = 0;
  let im = 0;
  pcm.forEach((value, i) => {
    re += value * Math.cos((2 * Math.PI * hertz * i) / 24000);
    im += value * Math.sin((2 * Math.PI * hertz * i) / 24000);
  });
  return (2 * Math.hypot(re, im)) / pcm.length;
}

/** Best correlation of two loudness curves when `late` may lag by up to 100 ms. */
export function sameEnvelope(early: Float32Array, late: Float32Array): number {
  return compareEnvelopes(early, late, { maxDelayMs: 100 }).correlation;
}

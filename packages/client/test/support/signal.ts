/** A speech-like test signal at 24 kHz: a 180 Hz voice with harmonics under a syllable envelope. */
export function speech(seconds: number, seed = 1): Float32Array {
  const random = lcg(seed);
  const pcm = new Float32Array(Math.round(seconds * 24000));
  let level = 0;
  let target = 0;
  for (let i = 0; i < pcm.length; i++) {
    if (i % 3600 === 0) target = random() < 0.3 ? 0 : 0.2 + 0.6 * random();
    level += (target - level) * 0.002;
    let sum = 0;
    for (let h = 1; h <= 5; h++) sum += Math.sin((2 * Math.PI * 180 * h * i) / 24000) / h;
    pcm[i] = 0.5 * level * sum;
  }
  return pcm;
}

/** A seeded generator of numbers in [0, 1). */
export function lcg(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export function concatenate(parts: Iterable<Float32Array>): Float32Array {
  const all = [...parts];
  const out = new Float32Array(all.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of all) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** RMS in windows of 10 ms. */
function envelope(pcm: Float32Array): number[] {
  return Array.from({ length: Math.floor(pcm.length / 240) }, (_, i) => {
    let sum = 0;
    for (const sample of pcm.subarray(i * 240, (i + 1) * 240)) sum += sample * sample;
    return Math.sqrt(sum / 240);
  });
}

/** The best correlation of two envelopes over a delay of `b` of up to `maxDelayMs`. */
export function envelopeCorrelation(a: Float32Array, b: Float32Array, maxDelayMs = 300): number {
  const [x, y] = [envelope(a), envelope(b)];
  let best = -1;
  for (let delay = 0; delay <= maxDelayMs / 10; delay++) best = Math.max(best, correlation(x, y.slice(delay)));
  return best;
}

function correlation(x: number[], y: number[]): number {
  const n = Math.min(x.length, y.length);
  const mean = (values: number[]) => values.slice(0, n).reduce((sum, value) => sum + value, 0) / n;
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

import { fixture } from '../../protocol/test/helpers';

export { concat as concatPcm } from '@moshi/protocol/audio';
export { collectGarbage, concat, oggFile, oggFiles, Random, splits } from '../../protocol/test/helpers';

/** Samples of a 16-bit mono WAV fixture, in [-1, 1). */
export function wav(name: string): Float32Array {
  const bytes = fixture(`ogg-opus/${name}.wav`);
  const view = new DataView(bytes.buffer);
  let at = 12;
  while (view.getUint32(at, false) !== 0x64617461) at += 8 + view.getUint32(at + 4, true);
  const samples = view.getUint32(at + 4, true) / 2;
  return Float32Array.from({ length: samples }, (_, i) => view.getInt16(at + 8 + 2 * i, true) / 32768);
}

/** Real speech, 24 kHz mono, 2 s: what opusdec made of a fixture. */
export const speech = wav('frame20.opusdec24');

/** Normalised correlation of two signals of the same length, 1 for the same shape. */
export function correlation(a: Float32Array, b: Float32Array): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

/** By how many samples `late` comes after `source`: the shift with the best correlation. */
export function delayOf(late: Float32Array, source: Float32Array, longest: number): { delay: number; match: number } {
  let best = { delay: 0, match: -1 };
  for (let delay = 0; delay <= longest; delay++) {
    const length = Math.min(source.length, late.length - delay);
    const match = correlation(late.subarray(delay, delay + length), source.subarray(0, length));
    if (match > best.match) best = { delay, match };
  }
  return best;
}

/** Largest difference, in 16-bit units. */
export function maxDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!) * 32768), 0);
}

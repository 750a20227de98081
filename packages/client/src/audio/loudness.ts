import { dbfs } from '@moshi/protocol/audio';

/** What is softer does not move a meter. */
const SOFTEST_DB = -60;

/** Loudness of samples as a meter shows it: 0 (-60 dBFS or less) to 1 (0 dBFS). */
export function loudness(pcm: Float32Array): number {
  return Math.max(0, Math.min(1, 1 - dbfs(pcm) / SOFTEST_DB));
}

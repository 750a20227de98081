import { compareEnvelopes } from '../../src/testing/sound';

export { randomNumbers as lcg, speechLike as speech } from '../../src/testing/sound';

/** The best correlation of two envelopes over a delay of `b` of up to `maxDelayMs`. */
export function envelopeCorrelation(a: Float32Array, b: Float32Array, maxDelayMs = 300): number {
  return compareEnvelopes(a, b, { maxDelayMs }).correlation;
}

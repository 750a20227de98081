import { expect } from 'vitest';
import { findWords, type HeardAt, shareHeard } from './words';

/** Every word that was captured was heard, once, in order and soon; returns where. Both 24 kHz mono, on one clock. */
export function expectEveryWord(
  { captured, heard }: { captured: Float32Array; heard: Float32Array },
  { maxLagMs = 1000, likeness = 0.7 }: { maxLagMs?: number; likeness?: number } = {},
): HeardAt[] {
  const words = findWords(captured, heard, { maxLagMs });
  const told = words
    .map((word) => `${word.begin / 100} s: ${word.likeness.toFixed(2)} after ${word.lagMs} ms`)
    .join('\n');
  expect(words.length, 'words captured').toBeGreaterThan(2);
  expect(
    words.filter((word) => word.likeness < likeness).length,
    `words that were not heard as they were said:\n${told}`,
  ).toBe(0);
  // A word that is heard twice makes it more; what is missing from words makes it less, and Opus does by 0.025.
  const share = shareHeard(captured, heard);
  expect(share, `share of the sound that was heard:\n${told}`).toBeGreaterThan(0.9);
  expect(share, `share of the sound that was heard:\n${told}`).toBeLessThan(1.04);
  return words;
}

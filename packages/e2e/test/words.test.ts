import { speechLike } from '@moshi/client/testing';
import { describe, expect, it } from 'vitest';
import { speech } from '../support/conversation';
import { findWords, shareHeard, speechSeconds, wordsIn } from '../support/words';

/** The sound, so many milliseconds later and a little softer, with a noise under it. */
function later(pcm: Float32Array, ms: number): Float32Array {
  const out = new Float32Array(pcm.length + ms * 24);
  for (let i = 0; i < out.length; i++) out[i] = 0.001 * Math.sin(i * i) + 0.7 * (pcm[i - ms * 24] ?? 0);
  return out;
}

describe('words that are looked for in what was heard', async () => {
  const said = await speech(0, 6);

  it('are found where they are', () => {
    const found = findWords(said, later(said, 340));
    expect(found.length).toBeGreaterThan(4);
    for (const { lagMs, likeness } of found) {
      expect(lagMs).toBe(340);
      expect(likeness).toBeGreaterThan(0.98);
    }
    // 0.7 as loud, and the noise.
    expect(shareHeard(said, later(said, 340))).toBeCloseTo(0.7, 1);
  });

  it('are missed when they are not there', () => {
    const words = wordsIn(said);
    const { begin, end } = words[2]!;
    const heard = later(said, 200);
    heard.fill(0, begin * 240 + 4800, end * 240 + 4800);
    const found = findWords(said, heard);
    expect(found[2]!.likeness < 0.8 || found[2]!.lagMs !== 200).toBe(true);
    expect(shareHeard(said, heard)).toBeLessThan(0.7 * 0.95);
  });

  it('are found where they are when a gap falls into one of them', () => {
    const words = wordsIn(said);
    for (const [n, { begin, end }] of words.entries()) {
      const heard = later(said, 200);
      heard.fill(0, begin * 240 + 4800, ((begin + end) / 2) * 240 + 4800);
      const others = findWords(said, heard, { maxLagMs: 2500 }).filter((_, i) => i !== n);
      expect(others.map(({ lagMs }) => lagMs)).toEqual(others.map(() => 200));
    }
  });

  it('make more sound when they are heard twice', () => {
    for (const { begin, end } of wordsIn(said).filter(({ begin, end }) => end - begin > 20)) {
      const twice = Float32Array.from([...said.subarray(0, end * 240), ...said.subarray(begin * 240)]);
      expect(shareHeard(said, twice)).toBeGreaterThan(1.05);
      expect(speechSeconds(twice)).toBeGreaterThan(speechSeconds(said) + 0.9 * ((end - begin) / 100));
    }
  });

  it('are not found in other speech', () => {
    const found = findWords(said, speechLike(8, 5));
    expect(found.filter(({ likeness }) => likeness > 0.9).length).toBeLessThan(found.length / 2);
  });
});

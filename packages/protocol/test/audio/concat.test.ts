import { expect, it } from 'vitest';
import { concat } from '../../src/audio';

it('concat puts pieces one after the other, whatever gives them, and keeps none of their memory', () => {
  const memory = Float32Array.of(9, 1, 2, 9);
  const pieces = [memory.subarray(1, 3), Float32Array.of(3), new Float32Array(0)];
  expect(concat(pieces)).toEqual(Float32Array.of(1, 2, 3));
  expect(concat(new Set(pieces))).toEqual(Float32Array.of(1, 2, 3));
  const alone = concat(pieces.slice(0, 1));
  memory.fill(0);
  expect(alone).toEqual(Float32Array.of(1, 2));
  expect(concat([])).toHaveLength(0);
});

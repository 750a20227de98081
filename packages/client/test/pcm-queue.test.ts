import { expect, it } from 'vitest';
import { PcmQueue } from '../src/pcm-queue';
import { lcg } from './support/signal';

it('gives back what it was given, however it is cut', () => {
  const random = lcg(5);
  const queue = new PcmQueue();
  const expected: number[] = [];
  let next = 0;
  for (let round = 0; round < 2000; round++) {
    if (random() < 0.5) {
      const chunk = Float32Array.from({ length: Math.floor(random() * 50) }, () => next++);
      expected.push(...chunk);
      queue.push(chunk);
      chunk.fill(-1);
    } else {
      const count = Math.floor(random() * (queue.length + 1));
      if (random() < 0.3) queue.drop(count);
      else expect([...queue.take(count)]).toEqual(expected.slice(0, count));
      expected.splice(0, count);
    }
    expect(queue.length).toBe(expected.length);
  }
});

it('refuses to give more than it has', () => {
  const queue = new PcmQueue();
  queue.push(new Float32Array(3));
  expect(() => queue.take(4)).toThrow(RangeError);
});

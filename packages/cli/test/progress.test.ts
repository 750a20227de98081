import { describe, expect, it } from 'vitest';
import { ProgressBar } from '../src/progress';

function terminal(isTTY: boolean, columns = 80) {
  const written: string[] = [];
  return { isTTY, columns, written, write: (text: string) => written.push(text) };
}

describe('the progress bar', () => {
  it('draws on a terminal, ends at 100 % and leaves a clean line', () => {
    const stream = terminal(true);
    const bar = new ProgressBar(stream);
    bar.update('talking', 0, 10);
    bar.update('talking', 10, 10, 'done');
    expect(stream.written[0]).toMatch(/^\rtalking ░{24} {3}0%/);
    expect(stream.written.at(-1)).toMatch(/^\rtalking █{24} 100% done/);
    bar.clear();
    expect(stream.written.at(-1)).toMatch(/^\r {30,}\r$/);
  });

  it('never passes the width of the terminal', () => {
    const stream = terminal(true, 40);
    new ProgressBar(stream).update('a very long label '.repeat(5), 5, undefined, 'note');
    expect(stream.written[0]!.length).toBeLessThanOrEqual(40);
  });

  it('writes nothing elsewhere', () => {
    const stream = terminal(false);
    const bar = new ProgressBar(stream);
    bar.update('talking', 5, 10);
    bar.clear();
    expect(stream.written).toEqual([]);
  });
});

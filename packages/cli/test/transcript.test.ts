import { describe, expect, it } from 'vitest';
import { toText, toWords } from '../src/transcript';

describe('words', () => {
  it('begin at spaces and take the time of their first piece', () => {
    const fragments = [
      { text: ' Hel', time: 1 },
      { text: 'lo', time: 1.08 },
      { text: ',', time: 1.16 },
      { text: ' how are', time: 2 },
      { text: ' ', time: 2.5 },
      { text: 'you', time: 3 },
      { text: '?\n', time: 3.1 },
      { text: '', time: 3.2 },
      { text: 'Fine', time: 4 },
    ];
    expect(toWords(fragments)).toEqual([
      { text: 'Hello,', start: 1 },
      { text: 'how', start: 2 },
      { text: 'are', start: 2 },
      { text: 'you?', start: 3 },
      { text: 'Fine', start: 4 },
    ]);
    expect(toText(fragments)).toBe('Hello, how are you? Fine');
  });

  it('of nothing are none', () => {
    expect(toWords([])).toEqual([]);
    expect(toText([{ text: '  ', time: 0 }])).toBe('');
  });
});

import { describe, expect, it } from 'vitest';
import { Captions } from '../src/audio/captions';
import { OutputClock } from '../src/audio/clock';
import type { OutputStatus } from '../src/audio/platform';
import type { HeardWord } from '../src/index';

function captions() {
  const words: HeardWord[] = [];
  return { captions: new Captions((word) => words.push(word)), words };
}

describe('captions', () => {
  it('put pieces together into words, whichever side the blank is on', () => {
    for (const pieces of [
      [' hel', 'lo', ' there', ' you'],
      ['hel', 'lo ', 'there ', 'you '],
      [' hel', 'lo there', ' ', 'you', '\n'],
    ]) {
      const { captions: each, words } = captions();
      for (const [index, text] of pieces.entries()) each.text({ text, time: index * 0.08 });
      each.advance(10, 10);
      expect(words.map(({ text }) => text)).toEqual(['hello', 'there', 'you']);
    }
  });

  it('keep no more than anybody could still hear, whatever a server says', () => {
    const { captions: each, words } = captions();
    for (let i = 0; i < 30_000; i++) {
      each.text({ text: ` w${i}`, time: i });
      each.sayWord({ id: 1, word: `other${i}`, time: i });
    }
    for (let i = 0; i < 100; i++) each.text({ text: 'x'.repeat(1000), time: 30_000 });
    each.advance(40_000, 40_000);
    expect(words.length).toBeLessThanOrEqual(1000);
    expect(words.map(({ text }) => text)).toContain('w29998');
    expect(Math.max(...words.map(({ text }) => text.length))).toBeLessThanOrEqual(2000);
  });

  it('wait for the rest of a word', () => {
    const { captions: each, words } = captions();
    each.text({ text: ' won', time: 1 });
    each.advance(1.02, 1.08);
    expect(words).toEqual([]);
    each.text({ text: 'der', time: 1.08 });
    each.advance(1.1, 1.16);
    expect(words).toEqual([]);
    each.advance(1.2, 1.24);
    expect(words).toEqual([{ text: 'wonder', time: 1 }]);
  });

  it('give a word at its time, and none twice', () => {
    const { captions: each, words } = captions();
    each.text({ text: ' one', time: 1 });
    each.text({ text: ' two', time: 2 });
    each.advance(0.99, 3);
    expect(words).toEqual([]);
    each.advance(1, 3);
    each.advance(1.99, 3);
    expect(words).toHaveLength(1);
    each.advance(2.5, 3);
    each.advance(9, 9);
    expect(words.map(({ text }) => text)).toEqual(['one', 'two']);
  });

  it('know which words were asked for', () => {
    const { captions: each, words } = captions();
    each.text({ text: ' Well', time: 0.5 });
    for (const [word, time] of [
      ['Good', 1],
      ['day,', 1.3],
      ['Sir!', 1.6],
    ] as const) {
      each.sayWord({ id: 7, word, time });
      each.text({ text: ` ${word.toLowerCase()}`, time: time + 0.08 });
    }
    each.text({ text: ' day', time: 9 });
    each.advance(20, 20);
    expect(words.map(({ text, sayId }) => [text, sayId])).toEqual([
      ['Well', undefined],
      ['good', 7],
      ['day,', 7],
      ['sir!', 7],
      ['day', undefined],
    ]);
  });

  it('forget what will not be heard', () => {
    const { captions: each, words } = captions();
    each.text({ text: ' gone', time: 1 });
    each.clear();
    each.text({ text: ' here', time: 2 });
    each.advance(9, 9);
    expect(words.map(({ text }) => text)).toEqual(['here']);
  });
});

describe('the playback clock', () => {
  const base = { underruns: 0, missedMs: 0, overflows: 0, droppedMs: 0, trimmedMs: 0, playedSeconds: 0, targetMs: 90 };
  function clock() {
    let now = 1000;
    const each = new OutputClock(() => now);
    const note = (state: OutputStatus['state'], time: number | undefined, atMs: number, bufferedMs = 90) =>
      each.note({ ...base, state, time, atMs, bufferedMs });
    const at = (ms: number) => {
      now = ms;
      return each.now;
    };
    return { each, note, at };
  }

  it('begins when the first sound leaves the loudspeaker', () => {
    const { each, note, at } = clock();
    note('empty', undefined, 1000);
    note('filling', 0, 1030);
    expect(at(1010)).toBeUndefined();
    note('playing', 0, 1130);
    expect(at(1120)).toBeUndefined();
    expect(at(1150)).toBeCloseTo(0.02, 6);
    expect(each.heardAt(0.05)).toBeCloseTo(1180, 6);
    expect(each.heardAt(0.2)).toBeUndefined();
  });

  it('stands still in a gap and never goes back', () => {
    const { each, note, at } = clock();
    note('playing', 5, 1000, 80);
    expect(at(1060)).toBeCloseTo(5.06, 6);
    note('filling', 5.08, 1080, 0);
    expect(at(1070)).toBeCloseTo(5.07, 6);
    expect(at(1500)).toBeCloseTo(5.08, 6);
    note('playing', 5.08, 1600);
    expect(at(1590)).toBeCloseTo(5.08, 6);
    expect(at(1640)).toBeCloseTo(5.12, 6);
    expect(each.heardAt(5.04)).toBeCloseTo(1040, 6);
    expect(each.heardAt(5.1)).toBeCloseTo(1620, 6);
    expect(at(1000)).toBeCloseTo(5.12, 6);
  });

  it('goes no further than what is there', () => {
    const { note, at } = clock();
    note('playing', 0, 1000, 90);
    expect(at(5000)).toBeCloseTo(0.09, 6);
  });

  it('follows what was left out: quiet is heard late by nothing, lost sound never', () => {
    const { each, note, at } = clock();
    note('playing', 0, 1000, 1000);
    note('playing', 0.11, 1100, 1000);
    expect(at(1100)).toBeCloseTo(0.11, 6);
    expect(each.heardAt(0.105)).toBeCloseTo(1100, 0);
    note('playing', 5, 1200, 1000);
    expect(each.heardAt(3)).toBeUndefined();
    expect(each.heardAt(5.1)).toBeCloseTo(1300, 6);
    expect(at(1210)).toBeCloseTo(5.01, 6);
  });

  it('follows unrest of the clocks slowly', () => {
    const { note, at } = clock();
    note('playing', 0, 1000, 100);
    for (let i = 1; i <= 200; i++) note('playing', i / 20, 1000 + i * 50 + (i % 2 ? 3 : -3), 100);
    expect(Math.abs(at(11_010)! - 10.01)).toBeLessThan(0.001);
  });
});

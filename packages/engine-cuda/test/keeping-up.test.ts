import { describe, expect, it } from 'vitest';
import { keptSlots } from '../src/keeping-up';

/** Times of one session, two, and so on. */
const times = (...ms: number[]) => ms.map((one, i) => ({ sessions: i + 1, ms: one }));
const where = 'cuda:0';

describe('slots', () => {
  it.each([
    ['that keep up are kept', times(20, 40, 72), false, { slots: 3, keepsUp: true }],
    ['that do not are lowered', times(20, 40, 72.5), false, { slots: 2, keepsUp: true }],
    ['are one at least', times(90, 95, 99), false, { slots: 1, keepsUp: false }],
    ['that were asked for stay', times(20, 40, 90), true, { slots: 3, keepsUp: false }],
    ['that were asked for stay however slow', times(90, 95, 99), true, { slots: 3, keepsUp: false }],
    ['that were not timed are kept', undefined, false, { slots: 3, keepsUp: null }],
    [
      'of which some were timed',
      [
        { sessions: 1, ms: 30 },
        { sessions: 3, ms: 80 },
      ],
      false,
      { slots: 1, keepsUp: true },
    ],
    ['are not those of other numbers', times(20, 40, 60, 90), false, { slots: 3, keepsUp: true }],
  ])('%s', (_, rehearsal, asked, expected) => {
    expect(keptSlots(rehearsal, { slots: 3, asked, where })).toMatchObject(expected);
  });

  it('say what became of them', () => {
    const note = (rehearsal: ReturnType<typeof times>, asked: boolean) =>
      keptSlots(rehearsal, { slots: rehearsal.length, asked, where }).note;
    expect(note([], false)).toBeUndefined();
    expect(note(times(20, 40), false)).toBe('on cuda:0 a frame of 2 sessions takes 40 of its 80 ms: it keeps up');
    expect(note(times(20, 40, 90), false)).toBe(
      'on cuda:0 a frame of 3 sessions takes 90 of its 80 ms, and 72 is the limit: 2 sessions in place of 3 keep up',
    );
    expect(note(times(20, 40, 90), true)).toBe(
      'on cuda:0 a frame of 3 sessions takes 90 of its 80 ms, and 72 is the limit: sound will break up; 2 sessions would keep up',
    );
    expect(note(times(90, 95), false)).toMatch(
      /^on cuda:0 a frame of 1 session takes 90 of its 80 ms, and 72 is the limit: sound will/,
    );
  });
});

import { describe, expect, it } from 'vitest';
import { noticesOf, type Situation } from '../src/state/notices';
import { clockTime, inSeconds, troubleOf, voiceGroup } from '../src/words';

const calm: Situation = {
  ...{
    phase: { name: 'live' },
    mode: 'voice',
    speaker: 'playing',
    trouble: undefined,
    keepsUp: undefined,
    behindMs: 0,
  },
  ...{ roundTripMs: 300, offline: false, newConversation: undefined, foreignHost: undefined, agreed: false },
  ...{ addressProblem: undefined, unsupported: undefined },
};
const notices = (changes: Partial<Situation>) => noticesOf({ ...calm, ...changes });
const refused = troubleOf(new DOMException('', 'NotAllowedError'));

describe('notices', () => {
  it('are none while all is well', () => {
    expect(noticesOf(calm)).toEqual([]);
    expect(notices({ phase: { name: 'idle' } })).toEqual([]);
    expect(notices({ phase: { name: 'waiting' } })).toEqual([]);
  });

  it.each<[string, Partial<Situation>, RegExp]>([
    ['the place in line', { phase: { name: 'waiting', position: 3 } }, /number 3 in line/],
    ['the next place', { phase: { name: 'waiting', position: 1 } }, /next in line/],
    ['the browser’s question', { phase: { name: 'asking' } }, /Allow the microphone/],
    ['a lost connection', { phase: { name: 'reconnecting', attempt: 0 } }, /Connection lost/],
    ['a slow machine', { phase: { name: 'idle' }, keepsUp: false }, /cannot keep up/],
    ['a machine behind', { behindMs: 2400 }, /cannot keep up/],
    ['late answers', { roundTripMs: 4200 }, /Answers come late/],
    ['a new conversation', { newConversation: 'unknown' }, /new conversation has begun/],
    ['silence for want of a click', { speaker: 'blocked' }, /cannot hear it/],
    ['a phone call', { speaker: 'interrupted' }, /on hold/],
    ['an old browser', { unsupported: 'It has no AudioWorklet' }, /cannot talk/],
    ['a bad link', { addressProblem: 'no address' }, /not quite right/],
  ])('tell of %s', (_, changes, title) => {
    expect(notices(changes).map((notice) => notice.title)).toEqual([expect.stringMatching(title)]);
  });

  it('say once that a machine is slow, with the figure where there is one', () => {
    const both = notices({ keepsUp: false, behindMs: 1500, roundTripMs: 9000 });
    expect(both).toHaveLength(1);
    expect(both[0]!.text).toContain('1.5 s');
  });

  it('have titles that stay while their figures move', () => {
    for (const [one, other] of [
      [{ behindMs: 900 }, { behindMs: 2400 }],
      [{ roundTripMs: 4200 }, { roundTripMs: 5100 }],
    ]) {
      const [before, after] = [notices(one!)[0]!, notices(other!)[0]!];
      expect(after.title).toBe(before.title);
      expect([before.moving, after.text === before.text]).toEqual([true, false]);
    }
  });

  it('ask before a foreign server, and name it afterwards', () => {
    const [asked] = notices({ phase: { name: 'idle' }, foreignHost: 'gpu.example.com' });
    expect(asked).toMatchObject({ title: 'Talk with gpu.example.com?', action: 'agree' });
    const [agreed] = notices({ foreignHost: 'gpu.example.com', agreed: true });
    expect(agreed).toMatchObject({ tone: 'info', title: 'You talk with gpu.example.com' });
    expect(agreed!.action).toBeUndefined();
  });

  it('offer typing where the microphone is the trouble, and only between calls', () => {
    expect(notices({ phase: { name: 'idle' }, trouble: refused })[0]).toMatchObject({ action: 'type-instead' });
    expect(notices({ trouble: refused })[0]).toMatchObject({ action: 'dismiss-trouble' });
    const unreachable = troubleOf({ code: 'unreachable', message: 'no server' });
    expect(notices({ phase: { name: 'idle' }, trouble: unreachable })[0]).toMatchObject({ action: 'dismiss-trouble' });
  });

  it('put what stops everything before what is good to know', () => {
    const all = notices({ keepsUp: false, trouble: refused, foreignHost: 'x', agreed: true });
    expect(all.map(({ tone }) => tone)).toEqual(['bad', 'warn', 'info']);
  });
});

describe('trouble', () => {
  it.each([
    ['NotAllowedError', 'permission-denied', /address bar/],
    ['NotFoundError', 'no-device', /Plug one in/],
    ['OverconstrainedError', 'no-device', /Plug one in/],
    ['NotReadableError', 'device-busy', /other program/],
  ])('of the browser (%s) names the cure', (name, code, text) => {
    expect(troubleOf(new DOMException('', name))).toMatchObject({ code, text: expect.stringMatching(text) });
  });

  it('of the SDK keeps its words where the page has no better ones', () => {
    expect(troubleOf({ code: 'server', message: 'the model is gone' })).toEqual({
      ...{ code: 'server', title: 'The server ended the conversation', text: 'The model is gone' },
    });
  });

  it('is none when the visitor took the call back', () => {
    expect(troubleOf({ code: 'aborted', message: 'aborted' })).toBeUndefined();
  });

  it('has words for anything', () => {
    for (const thrown of [undefined, null, 'text', {}, new Error('odd')]) {
      expect(troubleOf(thrown)).toMatchObject({ title: expect.any(String), text: expect.any(String) });
    }
  });
});

it('words for figures and voices', () => {
  expect([clockTime(0), clockTime(65.9), clockTime(3600), clockTime(-1)]).toEqual(['0:00', '1:05', '60:00', '0:00']);
  expect([inSeconds(440), inSeconds(-3), inSeconds(1960)]).toEqual(['0.4 s', '0.0 s', '2.0 s']);
  expect(voiceGroup('NATF2')).toBe('Natural, female');
  expect(voiceGroup('VARM4')).toBe('Varied, male');
  expect(voiceGroup('my-voice')).toBe('Voices of this server');
});

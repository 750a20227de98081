import { describe, expect, it } from 'vitest';
import {
  decodeMessage,
  type EventMessage,
  encodeMessage,
  ProtocolError,
  parseResumeNotice,
  parseResumeQuery,
  type ResumeNotice,
  resumeEvent,
  resumeQuery,
} from '../src/index';
import { Random } from './helpers';

const notices: ResumeNotice[] = [
  { name: 'resumable', token: 'abc', graceMs: 15_000 },
  { name: 'resumed', heard: 0, next: 1 },
  { name: 'resumed', heard: 48_000, next: 17, replayed: 3, taken: 2 },
  { name: 'not-resumed', reason: 'gap' },
];
const parse = (text: string) => parseResumeQuery(new URLSearchParams(text));

describe('resume events', () => {
  it('come back as they were sent', () => {
    for (const notice of notices) {
      const sent = decodeMessage(encodeMessage(resumeEvent(notice))) as EventMessage;
      expect(parseResumeNotice(sent)).toEqual(notice);
    }
  });

  it('are told from other events, and from nonsense under their name', () => {
    expect(parseResumeNotice({ type: 'event', name: 'waiting', data: { position: 1 } })).toBeUndefined();
    for (const data of [undefined, null, 'x', [], { token: 5 }, { heard: -1, next: 1 }, { heard: 0, next: 0.5 }]) {
      for (const name of ['resumable', 'resumed', 'not-resumed']) {
        expect(() => parseResumeNotice({ type: 'event', name, data })).toThrow(ProtocolError);
      }
    }
  });

  it('carry no token that could not be given back', () => {
    for (const token of ['', 'a b', 'a&b=c', 'a/b', 'x'.repeat(201)]) {
      const message = resumeEvent({ name: 'resumable', token, graceMs: 1 });
      expect(() => parseResumeNotice(message)).toThrow(ProtocolError);
    }
  });

  it('take a reason of another time for the plainest one', () => {
    const notice = parseResumeNotice({ type: 'event', name: 'not-resumed', data: { reason: 'tuesday' } });
    expect(notice).toEqual({ name: 'not-resumed', reason: 'unknown' });
  });
});

describe('a resume query', () => {
  it('is read as it was written, also with nothing received', () => {
    for (const request of [
      { token: 'a-_9', received: 0 },
      { token: 'x'.repeat(43), received: 123_456 },
    ]) {
      expect(parseResumeQuery(new URLSearchParams(resumeQuery(request)))).toEqual({ request });
    }
  });

  it('is nothing without a token', () => {
    expect(parse('')).toEqual({});
    expect(parse('received=7&voice_prompt=x')).toEqual({});
  });

  it.each([
    'resume=a',
    'resume=a&received=',
    'resume=a&received=-1',
    'resume=a&received=1.5',
    'resume=a&received=1e3',
    `resume=a&received=${'9'.repeat(16)}`,
    'resume=&received=1',
    'resume=a/b&received=1',
    `resume=${'a'.repeat(201)}&received=1`,
    'resume=a&resume=b&received=1',
    'resume=a&received=1&received=2',
  ])('is refused as %s', (query) => {
    expect(parse(query)).toEqual({ problem: expect.any(String) });
  });

  it('of any bytes is read or refused, never thrown at', () => {
    const random = new Random(5);
    for (let i = 0; i < 500; i++) {
      const token = String.fromCharCode(...random.bytes(random.below(30)));
      const query = new URLSearchParams([
        ['resume', token],
        ['received', String(random.below(11) - 5)],
      ]);
      const { request, problem } = parseResumeQuery(query);
      expect((request === undefined) !== (problem === undefined)).toBe(true);
    }
  });
});

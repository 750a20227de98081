import { describe, expect, it } from 'vitest';
import {
  decodeMessage,
  type EventMessage,
  encodeMessage,
  ProtocolError,
  parseSayNotice,
  parseSayRequest,
  type SayNotice,
  type SayRequest,
  sayEvent,
} from '../src/index';
import { Random } from './helpers';

const requests: SayRequest[] = [
  { name: 'say', id: 0, text: 'Hello.' },
  { name: 'say', id: 7, text: '', floor: 'wait' },
  { name: 'say', id: 8, text: 'x', floor: 'interrupt' },
  { name: 'say-cancel' },
  { name: 'say-cancel', id: 3 },
  { name: 'interrupt' },
];
const notices: SayNotice[] = [
  { name: 'say-start', id: -1, text: 'Hello there.' },
  { name: 'say-word', id: 4, word: 'there.' },
  { name: 'say-end', id: 4, text: 'Hello', completed: false },
  { name: 'say-error', id: 4, message: 'no' },
];
const sent = (message: EventMessage) => decodeMessage(encodeMessage(message)) as EventMessage;

describe('say events', () => {
  it('come back as they were sent', () => {
    for (const request of requests) expect(parseSayRequest(sent(sayEvent(request)))).toEqual(request);
    for (const notice of notices) expect(parseSayNotice(sent(sayEvent(notice)))).toEqual(notice);
  });

  it('are told from other events', () => {
    expect(parseSayRequest({ type: 'event', name: 'waiting', data: { position: 1 } })).toBeUndefined();
    expect(parseSayNotice({ type: 'event', name: 'say', data: {} })).toBeUndefined();
    expect(parseSayRequest({ type: 'event', name: 'constructor' })).toBeUndefined();
  });

  it('are refused when a field is not what it must be, naming the field', () => {
    const bad: [EventMessage, RegExp][] = [
      [{ type: 'event', name: 'say' }, /"say": id/],
      [{ type: 'event', name: 'say', data: { id: -1, text: 'x' } }, /id/],
      [{ type: 'event', name: 'say', data: { id: 1.5, text: 'x' } }, /id/],
      [{ type: 'event', name: 'say', data: { id: 1, text: 5 } }, /text/],
      [{ type: 'event', name: 'say', data: { id: 1, text: 'x', floor: 'mine' } }, /floor/],
      [{ type: 'event', name: 'say-cancel', data: { id: 'all' } }, /id/],
    ];
    for (const [event, message] of bad) expect(() => parseSayRequest(event)).toThrow(message);
    expect(() => parseSayNotice({ type: 'event', name: 'say-end', data: { id: 1, text: '' } })).toThrow(/completed/);
    expect(() => parseSayNotice({ type: 'event', name: 'say-word', data: { id: '1', word: '' } })).toThrow(/id/);
  });

  it('never do more than throw that error, whatever the data', () => {
    const random = new Random(5);
    const values = [null, 0, -1, 1e300, 'x', '', [], {}, true, { id: 1 }, [1, 2], Number.NaN];
    const value = () => values[random.below(values.length)];
    for (let i = 0; i < 20_000; i++) {
      const name = [...requests, ...notices][random.below(requests.length + notices.length)]!.name;
      const data = random.below(5) === 0 ? value() : { id: value(), text: value(), floor: value(), completed: value() };
      for (const parse of [parseSayRequest, parseSayNotice]) {
        try {
          parse({ type: 'event', name, data });
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }
    }
  });
});

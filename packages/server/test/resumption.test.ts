import { describe, expect, it } from 'vitest';
import { Resumption } from '../src/session/resumption';

describe('tokens of a conversation', () => {
  it('are good until the client has shown that it has the next', () => {
    const resumption = new Resumption<object>();
    const session = {};
    const [first, second] = [resumption.offer(session), resumption.offer(session)];
    expect([first, second].map((token) => resumption.find(token))).toEqual([session, session]);
    resumption.confirm(session);
    expect([first, second].map((token) => resumption.find(token))).toEqual([undefined, session]);
    expect(resumption.refusal(first)).toBe('unknown');
  });

  it('are few, however often a client comes back in vain, and the one it surely has is among them', () => {
    const resumption = new Resumption<object>();
    const session = {};
    const tokens = Array.from({ length: 1000 }, () => resumption.offer(session));
    const good = tokens.filter((token) => resumption.find(token) === session);
    expect(good).toHaveLength(16);
    expect(good[0]).toBe(tokens[0]);
    expect(good.at(-1)).toBe(tokens.at(-1));
  });

  it('of one that nobody came back for say so', () => {
    const resumption = new Resumption<object>();
    const session = {};
    const token = resumption.offer(session);
    resumption.end(session, true);
    expect(resumption.find(token)).toBeUndefined();
    expect(resumption.refusal(token)).toBe('expired');
  });
});

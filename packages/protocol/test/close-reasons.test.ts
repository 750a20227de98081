import { describe, expect, it } from 'vitest';
import { type CloseContext, type DialectName, describeClose, dialects } from '../src/index';

const at = (dialect: DialectName, ready: boolean, msSinceOpen: number): CloseContext => ({
  dialect,
  ready,
  msSinceOpen,
});

describe('describeClose', () => {
  it.each<[string, number, CloseContext, RegExp, boolean]>([
    ['a bad voice or prompt', 1006, at('personaplex', false, 300), /voice.*prompt/s, false],
    ['an empty prompt, found after the voice', 1006, at('personaplex', false, 8000), /prompt/, true],
    ['audio PersonaPlex could not read', 1000, at('personaplex', true, 5000), /Ogg headers once/, false],
    ['a bad query value or certificate', 1006, at('moshi-rust', false, 0), /wss.*certificate.*query/s, true],
    ['a refused key', 1006, at('moshi-server', false, 0), /key \(401\).*overloaded/s, true],
    ['no server there', 1006, at('moshi', false, 0), /address and port/, true],
    ['a server that stopped while we waited', 1006, at('moshi', false, 60_000), /while waiting/, true],
    ['the session limit', 1006, at('moshi-rust', true, 361_000), /6 minutes/, true],
    ['the session limit', 1006, at('moshi-server', true, 330_000), /6 minutes/, true],
    ['too much audio at once', 1006, at('moshi', true, 5000), /5 s of audio/, true],
    ['a lost network', 1006, at('moshi-rust', true, 5000), /network/, true],
    ['a lost network, however late', 1006, at('personaplex', true, 400_000), /network/, true],
    ['a normal end', 1000, at('moshi', true, 5000), /ended the session/, false],
    ['a normal end too early', 1000, at('moshi', false, 5), /before it was ready/, false],
    ['a message too long', 1009, at('moshi', true, 5000), /4 MiB/, false],
    ['a full server', 1013, at('moshi', false, 5), /full/, true],
    ['a failing server', 1011, at('moshi', true, 5), /log/, true],
    ['a rule', 1008, at('moshi', true, 5), /rules/, false],
    ['a restart', 1012, at('moshi', true, 5), /restarting/, true],
    ['TLS', 1015, at('moshi-rust', false, 0), /certificate/, false],
    ['another code', 4242, at('moshi', true, 5), /4242/, false],
  ])('explains %s (%i)', (_, code, context, words, retryable) => {
    const description = describeClose(code, '', context);
    expect(description.message).toMatch(words);
    expect(description.retryable).toBe(retryable);
  });

  it('tells the code and one line for every code, dialect and moment', () => {
    for (const dialect of Object.keys(dialects) as DialectName[]) {
      for (const ready of [true, false]) {
        for (const ms of [0, 999, 1000, 400_000]) {
          for (const code of [
            1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 1015, 3000, 4999,
          ]) {
            const { message } = describeClose(code, '', at(dialect, ready, ms));
            expect(message).toContain(`${code}`);
            expect(message).toMatch(/^[^\n]+\.$/);
          }
        }
      }
    }
  });

  it('quotes what the server said, on one line and not without end', () => {
    const context = at('moshi', true, 5);
    expect(describeClose(1008, 'idle', context).message).toMatch(/ The server said: "idle"\.$/);
    expect(describeClose(1008, 'a\r\nb\u2028c\u001b[31m', context).message).toMatch(/"a b c \[31m"\.$/);
    expect(describeClose(1008, 'x'.repeat(1e6), context).message.length).toBeLessThan(400);
    expect(describeClose(1008, ' \n ', context).message).not.toContain('said');
  });
});

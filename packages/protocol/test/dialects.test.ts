import { describe, expect, it } from 'vitest';
import { type DialectName, dialects } from '../src/index';

const all = Object.values(dialects);

describe('dialects', () => {
  it('are listed under their names', () => {
    for (const [name, dialect] of Object.entries(dialects)) expect(dialect.name).toBe(name);
    expect(Object.keys(dialects).sort()).toEqual(['moshi', 'moshi-rust', 'moshi-server', 'personaplex']);
  });

  // One row per published server: where it listens and what it says first.
  it.each<[DialectName, number, boolean, 1 | 9, boolean, boolean, 'kept' | 'lost']>([
    ['moshi', 8998, false, 1, false, true, 'kept'],
    ['moshi-rust', 8998, true, 9, true, false, 'kept'],
    ['personaplex', 8998, false, 1, false, true, 'lost'],
    ['moshi-server', 8080, false, 9, false, false, 'kept'],
  ])('%s is as its server is', (name, port, secure, handshake, metadata, tolerates, early) => {
    expect(dialects[name]).toMatchObject({
      path: '/api/chat',
      defaultPort: port,
      secure,
      handshakeBytes: handshake,
      sendsMetadata: metadata,
      toleratesUnknownTypes: tolerates,
      audioBeforeHandshake: early,
    });
  });

  it('send what they require and never what they forbid', () => {
    for (const { query, requires, forbids } of all) {
      for (const name of requires) expect(query).toContain(name);
      for (const name of forbids) expect(query).not.toContain(name);
    }
    expect(dialects.personaplex.requires).toEqual(['voice_prompt', 'text_prompt']);
    expect(dialects.personaplex.forbids).toEqual(['seed']);
  });

  it('wait long where a server prompts or queues', () => {
    for (const { defaultHandshakeTimeoutMs } of all) expect(defaultHandshakeTimeoutMs).toBeGreaterThanOrEqual(10_000);
    expect(dialects.personaplex.defaultHandshakeTimeoutMs).toBeGreaterThanOrEqual(240_000);
  });
});

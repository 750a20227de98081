import { describe, expect, it } from 'vitest';
import { type ConnectOptions, MoshiError } from '../src/index';
import { resolveOptions } from '../src/options';

const query = (options: ConnectOptions, address = 'host') =>
  Object.fromEntries(resolveOptions(address, options).url.searchParams);

describe('the query', () => {
  it('asks for extensions unless told not to', () => {
    expect(query({})).toEqual({ extensions: '1' });
    expect(query({ extensions: false })).toEqual({});
    expect(query({ dialect: 'moshi-server' })).toEqual({});
  });

  it('sends voice, prompt and sampling in the servers’ words', () => {
    expect(query({ voice: 'NATM1', prompt: 'Be kind.', textTemperature: 0.6, audioTopK: 100 })).toEqual({
      voice_prompt: 'NATM1.pt',
      text_prompt: 'Be kind.',
      text_temperature: '0.6',
      audio_topk: '100',
      extensions: '1',
    });
  });

  it('sends a seed as the two that every family with seeds knows', () => {
    expect(query({ seed: 7 })).toEqual({ text_seed: '7', audio_seed: '7', extensions: '1' });
    expect(query({ seed: 7, audioSeed: 8 })).toMatchObject({ text_seed: '7', audio_seed: '8' });
    for (const dialect of ['moshi', 'moshi-rust', 'personaplex'] as const) {
      expect(query({ dialect, seed: 7 })).toMatchObject({ text_seed: '7', audio_seed: '7' });
      expect(query({ dialect, seed: 7 })).not.toHaveProperty('seed');
    }
  });

  it('gives PersonaPlex the prompt it cannot do without', () => {
    expect(query({ dialect: 'personaplex', voice: 'NATF2' })).toMatchObject({
      voice_prompt: 'NATF2.pt',
      text_prompt: ' ',
    });
    expect(query({ voice: 'NATF2' })).toMatchObject({ voice_prompt: 'NATF2.pt', text_prompt: ' ' });
  });

  it('keeps what the address already asks, and options win', () => {
    expect(query({ email: 'b' }, 'ws://host/api/chat?email=a&x=1')).toEqual({ email: 'b', x: '1', extensions: '1' });
  });
});

describe('checks', () => {
  it.each<[string, ConnectOptions]>([
    ['an unknown dialect', { dialect: 'klingon' as never }],
    ['a value outside its range', { textTemperature: -1 }],
    ['a bad duration', { handshakeTimeoutMs: Number.NaN }],
    ['a bad frame', { opus: { frameMs: 60 as never } }],
    ['a bad page', { opus: { packetsPerPage: 0 } }],
  ])('refuse %s', (_, options) => {
    expect(() => resolveOptions('host', options)).toThrow(MoshiError);
    expect(() => resolveOptions('host', options)).toThrow(expect.objectContaining({ code: 'bad-option' }));
  });

  it('wait for a server as long as its family may take', () => {
    expect(resolveOptions('host', {}).handshakeTimeoutMs).toBeGreaterThanOrEqual(240_000);
    expect(resolveOptions('host', { dialect: 'personaplex' }).handshakeTimeoutMs).toBeGreaterThanOrEqual(240_000);
    expect(resolveOptions('host', { dialect: 'moshi-server' }).handshakeTimeoutMs).toBeLessThan(240_000);
    expect(resolveOptions('host', { handshakeTimeoutMs: 5 }).handshakeTimeoutMs).toBe(5);
  });

  it('send two 20 ms packets in a page, as the official client', () => {
    expect(resolveOptions('host', {})).toMatchObject({ pageSamples: 960, opus: { frameMs: 20, packetsPerPage: 2 } });
    expect(resolveOptions('host', { opus: { frameMs: 40 } }).pageSamples).toBe(1920);
  });
});

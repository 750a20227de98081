import { dialects } from '@moshi/protocol';
import { describe, expect, it } from 'vitest';
import { displayUrl, resolveEndpoint } from '../src/endpoint';
import { MoshiError } from '../src/index';

const resolve = (address: string | URL, dialect: keyof typeof dialects = 'moshi') =>
  resolveEndpoint(address, dialects[dialect]).href;

describe('resolveEndpoint', () => {
  it.each([
    ['localhost:8998', 'ws://localhost:8998/api/chat'],
    ['localhost', 'ws://localhost:8998/api/chat'],
    ['127.0.0.1:9000/talk?x=1', 'ws://127.0.0.1:9000/talk?x=1'],
    ['[::1]', 'ws://[::1]:8998/api/chat'],
    ['[::1]:80', 'ws://[::1]/api/chat'],
    ['//host', 'ws://host:8998/api/chat'],
    ['ws://host:8998', 'ws://host:8998/api/chat'],
    ['ws://host', 'ws://host/api/chat'],
    ['http://host:8998/', 'ws://host:8998/api/chat'],
    ['https://host', 'wss://host/api/chat'],
    ['HTTPS://Host/a/b#part', 'wss://host/a/b'],
    ['wss://user:word@host/api/chat?email=x', 'wss://user:word@host/api/chat?email=x'],
    [' host ', 'ws://host:8998/api/chat'],
  ])('makes %s into %s', (address, expected) => {
    expect(resolve(address)).toBe(expected);
  });

  it('takes scheme, port and path from the dialect where the address has none', () => {
    expect(resolve('host', 'moshi-rust')).toBe('wss://host:8998/api/chat');
    expect(resolve('host', 'moshi-server')).toBe('ws://host:8080/api/chat');
    expect(resolve('ws://host:1', 'moshi-rust')).toBe('ws://host:1/api/chat');
    expect(resolve(new URL('https://host/x'))).toBe('wss://host/x');
  });

  it.each(['', 'ws://', 'ftp://host', 'host:99999', 'ws://ho st', ':8998', '/api/chat', 'ws:///api/chat'])(
    'refuses %j with a cure',
    (address) => {
      const error = (() => {
        try {
          return resolve(address);
        } catch (thrown) {
          return thrown;
        }
      })();
      expect(error).toBeInstanceOf(MoshiError);
      expect(error).toMatchObject({ code: 'bad-option', retryable: false });
    },
  );

  it('shows addresses without their secrets', () => {
    expect(displayUrl(new URL('wss://user:word@host:1/api/chat?text_prompt=secret'))).toBe('wss://host:1/api/chat');
  });
});

import { describe, expect, it } from 'vitest';
import { readAddress, withoutSecrets } from '../src/address';

const read = (href: string) => readAddress(href);

describe('the server a page talks with', () => {
  it.each([
    ['http://localhost:8998/', 'ws://localhost:8998/api/chat'],
    ['https://talk.example.com/', 'wss://talk.example.com/api/chat'],
    ['https://example.com/moshi/', 'wss://example.com/moshi/api/chat'],
    ['http://[::1]:8998/test-voice', 'ws://[::1]:8998/api/chat'],
  ])('is the one it came from: %s', (href, server) => {
    expect(read(href)).toMatchObject({ server, textMode: href.includes('test-voice') });
    expect(read(href).foreignHost).toBeUndefined();
  });

  it.each([
    ['gpu.example.com:8998', 'wss://gpu.example.com:8998/api/chat'],
    ['wss://gpu.example.com', 'wss://gpu.example.com/api/chat'],
    ['https://gpu.example.com/moshi/api/chat', 'wss://gpu.example.com/moshi/api/chat'],
    ['ws://localhost:8998', 'ws://localhost:8998/api/chat'],
    ['http://127.0.0.1:9000', 'ws://127.0.0.1:9000/api/chat'],
    ['wss://gpu.example.com/x?key=1#y', 'wss://gpu.example.com/x'],
  ])('is another one where the link says so: %s', (worker, server) => {
    const address = read(`https://talk.example.com/?worker_addr=${encodeURIComponent(worker)}`);
    expect(address).toMatchObject({ server, foreignHost: new URL(server).host });
    expect(address.problem).toBeUndefined();
  });

  it('is its own when the link names just that', () => {
    expect(read('http://localhost:8998/?worker_addr=localhost:8998').foreignHost).toBeUndefined();
    expect(read('http://localhost:8998/?worker_addr=').foreignHost).toBeUndefined();
  });

  it.each([
    ['javascript://alert(1)', /not the address of a server/],
    ['data://x', /not the address of a server/],
    ['file:///etc/passwd', /not the address of a server/],
    ['http://', /is no address/],
    ['a b', /is no address/],
    ['wss://user:secret@gpu.example.com', /password/],
    ['ws://gpu.example.com', /https/],
  ])('stays its own for %s, and says why', (worker, why) => {
    const address = read(`https://talk.example.com/?worker_addr=${encodeURIComponent(worker)}&key=k`);
    expect(address.problem).toMatch(why);
    expect(address).toMatchObject({ server: 'wss://talk.example.com/api/chat', key: 'k' });
    expect(address.foreignHost).toBeUndefined();
  });

  it('shows of a bad link nothing that turns its words around', () => {
    const { problem } = read(`http://localhost/?worker_addr=${encodeURIComponent('\u202egro.live\u0000 x')}`);
    expect(problem).toMatch(/^worker_addr=\u2068\ufffdgro\.live\ufffd x\u2069 is no address/);
  });

  it('gets the key only when it is the page’s own', () => {
    expect(read('http://localhost:8998/?key=k').key).toBe('k');
    expect(read('http://localhost:8998/?key=k&worker_addr=elsewhere:1').key).toBeUndefined();
  });

  it('gets the ticket and the address of the link', () => {
    expect(read('http://a/?worker_auth_id=t&email=me%40example.com')).toMatchObject({
      workerAuthId: 't',
      email: 'me@example.com',
    });
  });
});

describe('what is left in the address bar', () => {
  it('is everything but the key', () => {
    expect(withoutSecrets('http://a/test-voice?key=k&worker_auth_id=t#x')).toBe(
      'http://a/test-voice?worker_auth_id=t#x',
    );
    expect(withoutSecrets('http://a/?key=')).toBe('http://a/');
    // As an address without its host, the second one would name another host.
    expect(withoutSecrets('http://a//b/?key=k')).toBe('http://a//b/');
    expect(withoutSecrets('http://a/?worker_auth_id=t')).toBeUndefined();
  });
});

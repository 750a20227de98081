import { afterEach, describe, expect, it, vi } from 'vitest';
import { type MoshiError, WebSocketTransport } from '../src';
import * as node from '../src/platform/node';
import type { Platform } from '../src/platform/types';
import * as web from '../src/platform/web';
import * as workerd from '../src/platform/workerd';

const platforms: Record<string, Platform> = { node, web, workerd };

class Socket {
  static made: unknown[][] = [];
  binaryType = '';
  readonly bufferedAmount = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  constructor(...args: unknown[]) {
    Socket.made.push(args);
  }
  send() {}
  close() {}
}

afterEach(() => {
  Socket.made = [];
  vi.unstubAllGlobals();
});

describe.each(Object.entries(platforms))('#platform of %s', (_name, platform) => {
  it('takes the class that was injected, with options only where there are any', () => {
    platform.openWebSocket('ws://a', Socket);
    platform.openWebSocket('ws://a', Socket, { headers: { 'x-key': '1' } });
    expect(Socket.made[0]).toEqual(['ws://a']);
    expect(Socket.made[1]).toMatchObject(['ws://a', [], { headers: { 'x-key': '1' } }]);
  });
});

describe('#platform of web', () => {
  const code = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      return (error as MoshiError).code;
    }
    return undefined;
  };

  it('opens the global WebSocket', () => {
    vi.stubGlobal('WebSocket', Socket);
    expect(web.openWebSocket('ws://a')).toBeInstanceOf(Socket);
    expect(Socket.made).toEqual([['ws://a']]);
  });

  it('says what it cannot do', async () => {
    vi.stubGlobal('WebSocket', Socket);
    expect(code(() => web.openWebSocket('ws://a', undefined, { headers: {} }))).toBe('unsupported');
    expect(code(() => web.openWebSocket('ws://a', undefined, { insecure: true }))).toBe('unsupported');
    vi.stubGlobal('WebSocket', undefined);
    expect(code(() => web.openWebSocket('ws://a'))).toBe('unsupported');
    await expect(web.insecureFetch(new URL('https://a'), { signal: new AbortController().signal })).rejects.toThrow(
      'only Node',
    );
  });
});

describe('#platform of workerd', () => {
  /** The answer of a worker's fetch to an upgrade. */
  class Upgraded extends EventTarget {
    readonly sent: Uint8Array[] = [];
    readonly closed: unknown[][] = [];
    binaryType = 'blob';
    accepted: string | undefined;
    accept() {
      this.accepted = this.binaryType;
    }
    send(bytes: Uint8Array) {
      this.sent.push(bytes);
    }
    close(...args: unknown[]) {
      this.closed.push(args);
    }
  }
  const answer = (response: object) => {
    const asked: unknown[][] = [];
    vi.stubGlobal('fetch', async (...args: unknown[]) => {
      asked.push(args);
      return response;
    });
    return asked;
  };
  const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

  it('connects by fetch, with headers, and passes everything on', async () => {
    const upgraded = new Upgraded();
    const asked = answer({ status: 101, webSocket: upgraded });
    const socket = workerd.openWebSocket('wss://a/b?c=1', undefined, { headers: { 'x-key': '1' } });
    const seen: unknown[] = [];
    socket.onopen = () => seen.push('open');
    socket.onmessage = (event: { data: unknown }) => seen.push(event.data);
    socket.onclose = (event: { code: number }) => seen.push(event.code);
    await settled();
    expect(asked[0]).toMatchObject(['https://a/b?c=1', { headers: { 'x-key': '1', upgrade: 'websocket' } }]);
    // Messages that come before are of the other kind.
    expect(upgraded.accepted).toBe('arraybuffer');
    upgraded.dispatchEvent(Object.assign(new Event('message'), { data: 'hello' }));
    socket.send(new Uint8Array([1]));
    socket.close(1000, 'bye');
    upgraded.dispatchEvent(Object.assign(new Event('close'), { code: 1000, reason: 'bye', wasClean: true }));
    expect(seen).toEqual(['open', 'hello', 1000]);
    expect(upgraded.sent).toEqual([new Uint8Array([1])]);
    // The second one answers the server's goodbye.
    expect(upgraded.closed).toEqual([[1000, 'bye'], []]);
  });

  it('is closed by an error that nothing follows', async () => {
    const upgraded = new Upgraded();
    answer({ status: 101, webSocket: upgraded });
    const socket = workerd.openWebSocket('ws://a');
    const seen: unknown[] = [];
    socket.onerror = ({ error }: { error: Error }) => seen.push(error.message);
    socket.onclose = ({ code, wasClean }: { code: number; wasClean: boolean }) => seen.push([code, wasClean]);
    await settled();
    upgraded.dispatchEvent(Object.assign(new Event('error'), { error: new Error('the network broke') }));
    expect(seen).toEqual(['the network broke', [1006, false]]);
  });

  it('tells why it was refused', async () => {
    answer(new Response('not from there', { status: 403 }));
    const refused = vi.fn();
    workerd.onRefused(workerd.openWebSocket('ws://a'), refused);
    await vi.waitFor(() => expect(refused).toHaveBeenCalledWith({ status: 403, text: 'not from there' }));
  });

  it('reads no more of a refusal than is told', async () => {
    const cancelled = vi.fn();
    const pull = vi.fn((stream: ReadableStreamDefaultController) =>
      stream.enqueue(new TextEncoder().encode('no! '.repeat(100))),
    );
    const endless = new ReadableStream({ pull, cancel: cancelled });
    answer(new Response(endless, { status: 403 }));
    const refused = vi.fn();
    workerd.onRefused(workerd.openWebSocket('ws://a'), refused);
    await vi.waitFor(() => expect(refused).toHaveBeenCalledWith({ status: 403, text: 'no! '.repeat(256) }));
    expect(cancelled).toHaveBeenCalled();
    expect(pull.mock.calls.length).toBeLessThan(10);
  });

  it('ends as any socket does when nobody answers, or it is closed before', async () => {
    vi.stubGlobal('fetch', (_url: string, { signal }: RequestInit) => {
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('aborted'))));
    });
    const socket = workerd.openWebSocket('ws://a');
    const closed = vi.fn();
    socket.onclose = closed;
    socket.close();
    await settled();
    expect(closed).toHaveBeenCalledWith({ code: 1006, reason: '', wasClean: false });
  });

  it('cannot accept any certificate', () => {
    expect(() => workerd.openWebSocket('wss://a', undefined, { insecure: true })).toThrow('leave out insecure');
  });
});

it('is the one for Node in Node', async () => {
  const transport = new WebSocketTransport({ headers: { 'x-key': '1' } });
  const closed = new Promise<{ error?: Error }>((resolve) =>
    transport.open('ws://127.0.0.1:1/', { open: () => undefined, message: () => undefined, close: resolve }),
  );
  expect((await closed).error?.message).toContain('ECONNREFUSED');
});

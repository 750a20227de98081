import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { OggOpusDecoder, OpusPacketEncoder } from '@moshi/opus';
import { encodeMessage } from '@moshi/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ConnectOptions, connect, MoshiError, type Session, type SessionState } from '../src/index';
import { FakeTransport } from './support/fake-transport';
import { closeServers, scriptedServer } from './support/server';

const freeDecoder = vi.spyOn(OggOpusDecoder.prototype, 'free');
const freeEncoder = vi.spyOn(OpusPacketEncoder.prototype, 'free');

beforeEach(() => {
  vi.clearAllMocks();
});
const sessions: Promise<Session>[] = [];
afterEach(async () => {
  vi.useRealTimers();
  await closeServers();
  for (const session of await Promise.allSettled(sessions.splice(0))) {
    if (session.status === 'fulfilled') await session.value.close();
  }
});

const silent = () => {};
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail('must be rejected'),
    (error: MoshiError) => error,
  );

function fakeConnect(options: ConnectOptions = {}) {
  const transport = new FakeTransport();
  const states: SessionState[] = [];
  const session = connect('fake', {
    transport,
    ...options,
    on: { ...options.on, state: (state) => states.push(state) },
  });
  sessions.push(session);
  return { transport, states, session };
}

/** Both codecs of a failed connect are given back, also when they come up after the failure. */
const codecsFreed = () =>
  vi.waitFor(() => {
    expect(freeDecoder).toHaveBeenCalledTimes(1);
    expect(freeEncoder).toHaveBeenCalledTimes(1);
  }, 20_000);

describe('connect', () => {
  it('is ready with the handshake, not with the open socket, and sends nothing before audio', async () => {
    const { transport, states, session } = fakeConnect();
    transport.accept();
    expect(states).toEqual([{ status: 'waiting' }]);
    transport.receive({ type: 'handshake' });
    expect((await session).state).toEqual({ status: 'ready' });
    expect(transport.sent).toEqual([]);
    transport.hangUp();
  });

  it.each([
    ['1 byte', [0]],
    ['3 bytes, as the web client writes it', [0, 0, 0]],
    ['9 bytes', [0, 0, 0, 0, 0, 0, 0, 0, 0]],
  ])('takes a handshake of %s', async (_, bytes) => {
    const { transport, session } = fakeConnect();
    transport.accept();
    transport.receiveRaw(Uint8Array.from(bytes));
    await session;
    transport.hangUp();
  });

  it('tells the place in line, and its change', async () => {
    const positions: unknown[] = [];
    const { transport, states, session } = fakeConnect({ on: { waiting: ({ position }) => positions.push(position) } });
    transport.accept();
    transport.receive({ type: 'event', name: 'waiting', data: { position: 2 } });
    transport.receive({ type: 'event', name: 'waiting', data: { position: 1 } });
    transport.receive({ type: 'event', name: 'waiting', data: 'nonsense' });
    transport.receive({ type: 'handshake' });
    await session;
    expect(positions).toEqual([undefined, 2, 1, undefined]);
    expect(states.slice(1, 3)).toEqual([
      { status: 'waiting', position: 2 },
      { status: 'waiting', position: 1 },
    ]);
    transport.hangUp();
  });

  it('loses nothing that comes with the handshake', async () => {
    const server = await scriptedServer((peer) =>
      peer.send(
        Uint8Array.of(0),
        encodeMessage({ type: 'text', text: 'at once' }),
        encodeMessage({ type: 'error', message: 'and over' }),
      ),
    );
    const session = await connect(server.url);
    const text = new Promise((resolve) => session.once('text', resolve));
    const error = new Promise((resolve) => session.once('error', resolve));
    expect(await text).toEqual({ text: 'at once', time: 0 });
    expect(await error).toMatchObject({ code: 'server', message: 'and over' });
    await session.close();
  });
});

describe('connect fails', () => {
  it('when nobody listens', async () => {
    const server = await scriptedServer(silent);
    await server.close();
    const error = await failure(connect(server.url));
    expect(error).toBeInstanceOf(MoshiError);
    expect(error).toMatchObject({ code: 'unreachable', retryable: true });
    expect(error.message).toMatch(/ws:\/\/127\.0\.0\.1:\d+\/api\/chat \(ECONNREFUSED\)/);
    await codecsFreed();
  });

  it.each([
    [
      400,
      'text_topk: invalid digit',
      ': text_topk: invalid digit; a query parameter has a value the server does not take',
      false,
    ],
    [401, '', ': give the key the server asks for', false],
    [404, 'It is\nelsewhere.', ': It is elsewhere; no WebSocket is at this path, check path and dialect', false],
    [500, 'broken.', ': broken', true],
    [503, '<html>busy</html>', '', true],
  ])('with the server’s words when it answers %d', async (status, body, words, retryable) => {
    const http = createServer();
    http.on('upgrade', (_, socket: Socket) => {
      socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`);
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const error = await failure(
      connect(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`, { prompt: 'secret' }),
    );
    http.close();
    expect(error).toMatchObject({ code: 'refused', retryable });
    expect(error.message.split(` refused the connection with HTTP ${status}`)[1]).toBe(words);
    expect(error.message).not.toContain('secret');
  });

  it('when the server never becomes ready, and hangs up', async () => {
    const { transport, session } = fakeConnect({ handshakeTimeoutMs: 30 });
    transport.accept();
    const error = await failure(session);
    expect(error).toMatchObject({ code: 'handshake-timeout', retryable: true });
    expect(error.message).toMatch(/took the call but was not ready/);
    expect(transport.ended).toEqual(['close 1000']);
    transport.hangUp();
    await codecsFreed();
  });

  it('when the socket never opens', async () => {
    const { transport, session } = fakeConnect({ handshakeTimeoutMs: 30 });
    const error = await failure(session);
    expect(error).toMatchObject({ code: 'handshake-timeout', message: expect.stringContaining('did not answer') });
    expect(transport.ended).toEqual(['terminate']);
  });

  it('not while the server shows signs of life', async () => {
    vi.useFakeTimers();
    const { transport, session } = fakeConnect({ handshakeTimeoutMs: 200 });
    transport.accept();
    for (let i = 0; i < 10; i++) {
      vi.advanceTimersByTime(190);
      transport.receive({ type: 'ping' });
    }
    vi.useRealTimers();
    transport.receive({ type: 'handshake' });
    await session;
    transport.hangUp();
  });

  it('when aborted while waiting', async () => {
    const server = await scriptedServer(silent);
    const controller = new AbortController();
    const reason = new Error('enough');
    const options = { signal: controller.signal, on: { waiting: () => controller.abort(reason) } };
    const error = await failure(connect(server.url, options));
    expect(error).toMatchObject({ code: 'aborted', cause: reason });
    await vi.waitFor(() => expect(server.peers[0]?.socket.readyState).toBe(3), 20_000);
    await codecsFreed();
  });

  it('when aborted before and during connecting', async () => {
    const before = fakeConnect({ signal: AbortSignal.abort() });
    expect(await failure(before.session)).toMatchObject({ code: 'aborted' });
    expect(before.transport.url).toBe('');
    const controller = new AbortController();
    const during = fakeConnect({ signal: controller.signal });
    await Promise.resolve();
    controller.abort();
    expect(await failure(during.session)).toMatchObject({ code: 'aborted' });
    expect(during.transport.ended).toEqual(['terminate']);
  });

  it('with the server’s own Error message, and its code says whether to retry', async () => {
    const server = await scriptedServer((peer) => {
      peer.send(encodeMessage({ type: 'error', message: 'All 4 slots are taken.' }));
      peer.socket.close(1013, 'full');
    });
    const error = await failure(connect(server.url));
    expect(error).toMatchObject({ code: 'server', message: 'All 4 slots are taken.', retryable: true });
  });

  it('on any close before the handshake', async () => {
    const server = await scriptedServer((peer) => peer.socket.close(1000));
    const states: SessionState[] = [];
    const error = await failure(connect(server.url, { on: { state: (state) => states.push(state) } }));
    expect(error).toMatchObject({ code: 'closed', retryable: false });
    expect(states.at(-1)).toEqual({ status: 'closed', code: 1000, reason: '', error });
    await codecsFreed();
  });

  it('when the server talks without end instead of becoming ready', async () => {
    const { transport, session } = fakeConnect();
    transport.accept();
    const flood = { type: 'text', text: 'x'.repeat(1000) } as const;
    for (let i = 0; i < 2000; i++) transport.receive(flood);
    expect(await failure(session)).toMatchObject({ code: 'malformed' });
    expect(transport.ended).toEqual(['close 1000']);
  });

  it.each<[string, ConnectOptions, string]>([
    ['an option', { textTemperature: 99 }, 'bad-option'],
    ['an Opus option', { opus: { bitrate: 1 } }, 'bad-option'],
  ])('on %s that cannot be', async (_, options, code) => {
    expect(await failure(fakeConnect(options).session)).toMatchObject({ code });
  });

  it('when the transport throws, whatever it does', async () => {
    const transport = new FakeTransport();
    transport.open = () => {
      throw new TypeError('no way');
    };
    expect(await failure(connect('fake', { transport }))).toMatchObject({ code: 'unreachable' });
    await codecsFreed();
    const none = () => {
      throw new TypeError('no way');
    };
    expect(await failure(connect('fake', { transport: none }))).toMatchObject({ code: 'unreachable' });
  });

  it('on an address that is none, as a rejection', async () => {
    expect(await failure(connect('ftp://x'))).toMatchObject({ code: 'bad-option' });
  });
});

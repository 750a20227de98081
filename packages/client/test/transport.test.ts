import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type ConnectOptions, connect, MoshiError, type WebSocketConstructor, WebSocketTransport } from '../src/index';
import { closeServers, scriptedServer } from './support/server';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  await closeServers();
  for (const close of closers.splice(0)) await close();
});

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail(),
    (error: MoshiError) => error,
  );
const port = (server: Pick<Server, 'address'>) => (server.address() as AddressInfo).port;

async function secureServer(): Promise<number> {
  const pem = (name: string) => readFileSync(new URL(`fixtures/tls/${name}.pem`, import.meta.url));
  const https = createServer({ key: pem('key'), cert: pem('cert') });
  const sockets = new WebSocketServer({ server: https });
  sockets.on('connection', (socket) => socket.send(Uint8Array.of(0)));
  await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
  closers.push(() => https.close());
  return port(https);
}

describe('TLS', () => {
  it('refuses a certificate nobody signed, and says what to do', async () => {
    const error = await failure(connect(`wss://127.0.0.1:${await secureServer()}`));
    expect(error).toMatchObject({ code: 'unreachable', message: expect.stringContaining('insecure: true') });
  });

  it('takes it when told to', async () => {
    const session = await connect(`https://127.0.0.1:${await secureServer()}`, { insecure: true });
    await session.close();
    expect(session.state).toMatchObject({ status: 'closed', code: 1000 });
  });

  it('that is missing, or not expected, is named', async () => {
    const plain = await scriptedServer(() => {});
    expect((await failure(connect(`wss://127.0.0.1:${plain.port}`))).message).toContain('use ws://');
    expect((await failure(connect(`ws://127.0.0.1:${await secureServer()}`))).message).toContain('use wss://');
  });
});

describe('a web page that is not let in', () => {
  // What a browser tells of a refused upgrade: that it closed.
  class Refused {
    binaryType = '';
    readonly bufferedAmount = 0;
    onopen = null;
    onmessage = null;
    onerror = null;
    onclose: ((event: object) => void) | null = null;
    constructor() {
      queueMicrotask(() => this.onclose?.({ code: 1006, reason: '', wasClean: false }));
    }
    send() {}
    close() {}
  }
  const refused = (url: string) =>
    failure(connect(url, { webSocket: Refused as unknown as WebSocketConstructor })).then(({ message }) => message);

  afterEach(() => vi.unstubAllGlobals());

  it('hears what the server may lack, when it is a page of another address', async () => {
    vi.stubGlobal('location', { origin: 'http://localhost:5173', host: 'localhost:5173' });
    expect(await refused('ws://localhost:8998')).toMatch(/pages of http:\/\/localhost:5173 in .*--origin/);
    expect(await refused('ws://localhost:5173')).not.toContain('--origin');
  });

  it('is none in Node', async () => {
    expect(await refused('ws://localhost:8998')).toContain('check host, port and network');
    expect(await refused('ws://localhost:8998')).not.toContain('--origin');
  });
});

describe('the WebSocket', () => {
  it('sends headers', async () => {
    const server = await scriptedServer((peer) => peer.send(Uint8Array.of(0)));
    const session = await connect(server.url, { headers: { 'kyutai-api-key': 'open sesame' } });
    expect(server.peers[0]?.request.headers['kyutai-api-key']).toBe('open sesame');
    await session.close();
  });

  it('can be another class, which gets no options it does not need', async () => {
    // Both kinds fit the type.
    const _fits: (WebSocketConstructor | undefined)[] = [WebSocket, globalThis.WebSocket];
    const given: unknown[][] = [];
    class Other extends WebSocket {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args);
        given.push(args);
      }
    }
    const server = await scriptedServer((peer) => peer.send(Uint8Array.of(0)));
    const options: ConnectOptions = { webSocket: Other };
    await (await connect(server.url, options)).close();
    await (await connect(server.url, { ...options, insecure: true })).close();
    expect(given).toEqual([
      [`${server.url}/api/chat?extensions=1`],
      [`${server.url}/api/chat?extensions=1`, [], expect.objectContaining({ rejectUnauthorized: false })],
    ]);
  });

  it('that cannot even be made is a failure like any other', async () => {
    class Broken {
      constructor() {
        throw new SyntaxError('no sockets today');
      }
    }
    const error = await failure(connect('localhost', { webSocket: Broken as never }));
    expect(error).toMatchObject({ code: 'unreachable', message: expect.stringContaining('no sockets today') });
  });

  it('says itself what a runtime cannot do', async () => {
    class Poor {
      constructor() {
        throw new MoshiError('unsupported', 'leave out headers');
      }
    }
    const error = await failure(connect('localhost', { webSocket: Poor as never }));
    expect(error).toMatchObject({ code: 'unsupported', message: 'leave out headers' });
  });

  it('is what browsers have: no options, no status, no terminate', async () => {
    const binaryTypes: string[] = [];
    // What a browser's WebSocket offers, over the real thing.
    class BrowserSocket {
      #socket: WebSocket;
      constructor(url: string) {
        this.#socket = new WebSocket(url);
      }
      set binaryType(type: 'arraybuffer') {
        binaryTypes.push(type);
        this.#socket.binaryType = type;
      }
      get bufferedAmount() {
        return this.#socket.bufferedAmount;
      }
      set onopen(listener: () => void) {
        this.#socket.onopen = listener;
      }
      set onmessage(listener: () => void) {
        this.#socket.onmessage = listener;
      }
      set onclose(listener: () => void) {
        this.#socket.onclose = listener;
      }
      set onerror(listener: (event: object) => void) {
        this.#socket.onerror = () => listener({});
      }
      send(data: Uint8Array) {
        this.#socket.send(data);
      }
      close(code?: number, reason?: string) {
        this.#socket.close(code, reason);
      }
    }
    const webSocket = BrowserSocket as never;
    const server = await scriptedServer((peer) => peer.send(Uint8Array.of(0)));
    const session = await connect(server.url, { webSocket });
    // A browser would give Blobs.
    expect(binaryTypes).toEqual(['arraybuffer']);
    session.sendSilence(80);
    expect((await server.peers[0]?.next())?.type).toBe('audio');
    await session.close();
    expect(session.state).toEqual({ status: 'closed', code: 1000, reason: '' });
    await server.close();
    expect(await failure(connect(server.url, { webSocket }))).toMatchObject({ code: 'unreachable' });
    const controller = new AbortController();
    const pending = connect((await scriptedServer(() => {})).url, { webSocket, signal: controller.signal });
    await Promise.resolve();
    controller.abort();
    expect(await failure(pending)).toMatchObject({ code: 'aborted' });
  });

  it('has nothing to give before it is opened', () => {
    const transport = new WebSocketTransport();
    expect(transport.bufferedAmount).toBe(0);
    transport.close(1000, '');
    transport.terminate();
  });

  it('that gets no HTTP answer at all is given up with the timeout', async () => {
    const tcp = createTcpServer(() => {});
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    closers.push(() => tcp.close());
    const error = await failure(connect(`ws://127.0.0.1:${port(tcp as never)}`, { handshakeTimeoutMs: 50 }));
    expect(error).toMatchObject({ code: 'handshake-timeout', message: expect.stringContaining('did not answer') });
  });
});

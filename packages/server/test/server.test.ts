import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer, loopbackEngine, type ServerOptions } from '@moshi/server';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { Client, oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { serve, until } from './support/fixture';
import { tone } from './support/signals';

describe('createServer', () => {
  it('resolves when it listens and tells so to those who ask right after', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const address = await new Promise<AddressInfo>((resolve) => server.once('listening', resolve));
    expect(address).toEqual(server.address);
    expect(server.url).toBe(`http://127.0.0.1:${address.port}`);
  });

  it('says which port is in use', async () => {
    const first = await serve({ engine: loopbackEngine() });
    const { port } = first.address!;
    await expect(createServer({ engine: loopbackEngine(), port })).rejects.toMatchObject({
      name: 'ServerError',
      code: 'LISTEN',
      message: `port ${port} on 127.0.0.1 is in use: stop what uses it, or choose another port`,
    });
  });

  it.each<[string, object, RegExp]>([
    ['no engine', { engine: undefined }, /needs an engine/],
    ['no slots', { engine: { ...loopbackEngine(), info: { slots: 0 }, open: async () => {} } }, /0 slots/],
    ['a port that is none', { port: 70_000 }, /port is 70000/],
    ['a limit that is none', { limits: { patience: 3 } }, /limits\.patience is not a limit: use waiting, /],
    ['a limit below its least', { limits: { bufferedInputMs: 10 } }, /limits\.bufferedInputMs is 10: .* from 80 /],
    ['a limit that is no number', { limits: { waiting: '3' } }, /limits\.waiting is 3/],
    ['a delay too long for a timer', { limits: { idleMs: 2 ** 31 } }, /limits\.idleMs/],
    ['a server and a port', { server: createHttpServer(), port: 3 }, /leave them out/],
    ['a server and a folder', { server: createHttpServer(), port: undefined, staticDir: '.' }, /your own server/],
  ])('refuses %s', async (_, change, message) => {
    const options = { engine: loopbackEngine(), port: 0, ...change } as ServerOptions;
    await expect(createServer(options)).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringMatching(message),
    });
  });
});

describe('loopbackEngine', () => {
  it('has as many slots as asked for and counts what is queued', async () => {
    const engine = loopbackEngine({ slots: 1 });
    const session = await engine.open();
    await expect(engine.open()).rejects.toMatchObject({ code: 'ENGINE_FULL' });
    const frames: number[] = [];
    session.on('frame', ({ step }) => frames.push(step));
    session.push(new Float32Array(1000));
    session.push(new Float32Array(5000));
    expect(session.queued).toBe(3);
    expect(frames).toEqual([]);
    await until(() => frames.length === 3);
    session.push(new Float32Array(2000));
    await session.reset();
    expect(session.queued).toBe(0);
    session.push(new Float32Array(1920));
    await until(() => frames.length === 4);
    expect(frames).toEqual([0, 1, 2, 0]);
    session.push(new Float32Array(1920));
    await session.close();
    await session.close();
    await engine.close();
    await engine.open();
    expect(frames).toHaveLength(4);
  });

  it('copies what it is given', async () => {
    const session = await loopbackEngine().open();
    const pcm = new Float32Array(1920).fill(0.5);
    const answered = new Promise<Float32Array | null>((resolve) => session.on('frame', (frame) => resolve(frame.pcm)));
    session.push(pcm);
    pcm.fill(0);
    expect((await answered)!.every((value) => value === 0.5)).toBe(true);
  });

  it('refuses slots that are none', () => {
    expect(() => loopbackEngine({ slots: 0 })).toThrow('give an integer of at least 1');
    expect(() => loopbackEngine({ slots: 1.5 })).toThrow('1.5');
  });
});

describe('close', () => {
  it('tells every client, live or waiting, and gives all slots back', async () => {
    const engine = new FakeEngine();
    const server = await serve({ engine });
    const live = await Client.ready(server);
    const waiting = await Client.open(server, '?extensions=1');
    const behind = await Client.open(server, '?extensions=1');
    const ended = new Promise((resolve) => server.once('closed', () => resolve('closed')));
    const closing = server.close();
    expect(server.close()).toBe(closing);
    for (const client of [live, waiting, behind]) {
      expect(await client.next('error')).toMatchObject({ message: 'The server is shutting down.' });
      expect(await client.closed).toEqual({ code: 1001, reason: 'server closing' });
    }
    await closing;
    expect(await ended).toBe('closed');
    expect(waiting.of('handshake')).toEqual([]);
    // Nobody is told of a better place in a line that ends.
    expect(behind.of('event')).toEqual([{ type: 'event', name: 'waiting', data: { position: 2 } }]);
    expect(engine.active).toBe(0);
    expect(server.sessions.size).toBe(0);
    expect(server.address).toBeNull();
    expect(server.url).toBe('');
    await expect(Client.open(server).catch(() => Promise.reject(new Error('gone')))).rejects.toThrow('gone');
  });

  it('resolves when the engine has taken its slots back, not before', async () => {
    const engine = new FakeEngine();
    const server = await serve({ engine });
    const client = await Client.ready(server);
    const fake = engine.opened[0]!;
    let letGo!: () => void;
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const close = fake.close.bind(fake);
    fake.close = async () => {
      await gate;
      await close();
    };
    const order: string[] = [];
    const closing = server.close({ graceMs: 10_000 }).then(() => order.push('closed'));
    await client.closed;
    await until(() => server.sessions.size === 0);
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    order.push('let go');
    letGo();
    await closing;
    expect(order).toEqual(['let go', 'closed']);
  });

  it('destroys the connections of clients that do not answer', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const client = await Client.ready(server);
    client.socket.pause();
    await server.close({ graceMs: 20 });
    expect(server.sessions.size).toBe(0);
    client.socket.resume();
    await client.closed;
  });

  it('does not wait for ever for an engine that is stepping a prompt in', async () => {
    const server = await serve({ engine: new FakeEngine({ opening: () => new Promise(() => {}) }) });
    const client = await Client.open(server);
    await server.close({ graceMs: 10 });
    expect(await client.closed).toMatchObject({ code: 1001 });
  });

  it('turns newcomers away while it waits', async () => {
    const http = await listening(createHttpServer());
    const server = await serve({ engine: loopbackEngine(), server: http });
    const slow = await Client.ready(server);
    slow.socket.pause();
    const closing = server.close({ graceMs: 300 });
    expect(server.readiness.ready).toBe(false);
    const late = await Client.open(server);
    expect(await late.closed).toMatchObject({ code: 1013, reason: 'server closing' });
    expect(late.of('error')[0]?.message).toMatch(/shutting down/);
    slow.socket.resume();
    await closing;
  });
});

let hosts: HttpServer[] = [];
afterEach(() => {
  for (const host of hosts) host.close();
  hosts = [];
});

async function listening(host: HttpServer): Promise<HttpServer> {
  hosts.push(host);
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
  return host;
}

describe('inside a server of one’s own', () => {
  const text = async (url: string) => (await fetch(url)).text();

  it('takes its routes and leaves all others', async () => {
    const host = await listening(createHttpServer((request, response) => response.end(`host ${request.url}`)));
    const before = new WebSocketServer({ server: host, path: '/before' });
    const server = await serve({ engine: loopbackEngine(), server: host });
    // ws answers 400 to every upgrade that is not its own, also to those of /api/chat if it sees them.
    const after = new WebSocketServer({ server: host, path: '/after' });
    for (const other of [before, after]) other.on('connection', (socket) => socket.send('other'));
    host.on('request', (_, response) => response.headersSent || response.end('late host'));

    expect(await text(`${server.url}/healthz`)).toBe('ok\n');
    expect(JSON.parse(await text(`${server.url}/readyz`))).toMatchObject({ ready: true });
    expect(await text(`${server.url}/`)).toBe('host /');
    expect(await text(`${server.url}/index.html`)).toBe('host /index.html');
    const client = await Client.ready(server);
    for (const page of await oggOpus(tone(3, 300))) client.audio(page);
    await client.count('audio', 3);
    // The two others refuse each other's paths; the later one is asked last.
    await server.close();
    expect(await text(`${url(host)}/healthz`)).toBe('host /healthz');
  });

  it('leaves WebSockets to the host and the host running after close', async () => {
    const host = await listening(createHttpServer((_, response) => response.end('host')));
    const sockets = new WebSocketServer({ noServer: true });
    host.on('upgrade', (request, socket, head) => {
      if (request.url === '/own') sockets.handleUpgrade(request, socket, head, (client) => client.close(4000, 'mine'));
      else socket.destroy();
    });
    const server = await serve({ engine: loopbackEngine(), server: host });
    expect(await new Client(`${url(host).replace('http', 'ws')}/own`).closed).toEqual({ code: 4000, reason: 'mine' });
    await Client.ready(server);
    await server.close();
    expect(await new Client(`${url(host).replace('http', 'ws')}/own`).closed).toEqual({ code: 4000, reason: 'mine' });
    expect(await new Client(`${url(host).replace('http', 'ws')}/api/chat`).closed).toMatchObject({ code: 1006 });
    expect(host.listening).toBe(true);
    expect(host.listenerCount('upgrade')).toBe(1);
  });

  it('answers an upgrade that nobody takes with what the host says to the request', async () => {
    const host = await listening(createHttpServer((_, response) => response.writeHead(418).end('teapot')));
    await serve({ engine: loopbackEngine(), server: host });
    const lost = new Client(`${url(host).replace('http', 'ws')}/elsewhere`);
    const status = await new Promise((resolve) => {
      lost.socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
    });
    expect(status).toBe(418);
    lost.socket.terminate();
  });

  it('may be attached before the host listens', async () => {
    const host = createHttpServer();
    const server = await serve({ engine: loopbackEngine(), server: host });
    expect([server.address, server.url]).toEqual([null, '']);
    const heard = new Promise<AddressInfo>((resolve) => server.once('listening', resolve));
    await listening(host);
    expect((await heard).port).toBe(server.address!.port);
    await Client.ready(server);
  });
});

const url = (host: HttpServer) => `http://127.0.0.1:${(host.address() as AddressInfo).port}`;

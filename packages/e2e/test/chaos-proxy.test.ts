import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Chaos, chaosProxy } from '../support/chaos-proxy';

describe('the chaos proxy', () => {
  let server: Server;
  let peers: Socket[];
  let chaos: Chaos;
  beforeEach(async () => {
    peers = [];
    // Says back what it hears.
    server = createServer({ allowHalfOpen: true }, (socket) => {
      peers.push(socket);
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    chaos = await chaosProxy({ port: (server.address() as AddressInfo).port });
  });
  afterEach(async () => {
    await chaos.close();
    for (const peer of peers) peer.destroy();
    server.close();
  });

  const dial = async () => {
    const socket = connect({ port: chaos.port, host: '127.0.0.1', allowHalfOpen: true });
    const client = { socket, chunks: [] as Buffer[], error: undefined as string | undefined, ended: false };
    socket.on('data', (bytes) => client.chunks.push(bytes as Buffer));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      client.error = error.code;
    });
    socket.on('end', () => {
      client.ended = true;
    });
    await new Promise((resolve) => socket.once('connect', resolve).once('error', resolve));
    return client;
  };
  const text = (client: { chunks: Buffer[] }) => Buffer.concat(client.chunks).toString();
  const until = async (condition: () => boolean) => {
    while (!condition()) await pause(5);
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  it('passes everything on, ends too', async () => {
    const client = await dial();
    client.socket.write('hello');
    await until(() => text(client) === 'hello');
    client.socket.end();
    await until(() => client.ended);
    expect(chaos.connections).toBe(1);
  });

  it('delivers in order and whole through delay, jitter, detours, a slow line and small pieces', async () => {
    chaos.latency(5, 20);
    chaos.reorder(30);
    chaos.rate(200_000);
    chaos.split(700);
    const client = await dial();
    const sent = Array.from({ length: 4000 }, (_, n) => `${n},`).join('');
    for (let at = 0; at < sent.length; at += 1000) client.socket.write(sent.slice(at, at + 1000));
    await until(() => text(client).length === sent.length);
    expect(text(client)).toBe(sent);
    expect(client.chunks.length).toBeGreaterThan(sent.length / 700);
  });

  // How late at most is the pipe's business, whose test has a clock of its own.
  it.each([
    ['its delay', () => chaos.latency(40), Math.min],
    ['jitter', () => chaos.latency(0, 500), Math.max],
    ['detours', () => chaos.reorder(40, 1), Math.min],
  ])('is late both ways by %s', async (_, worsen, most) => {
    worsen();
    const client = await dial();
    await until(() => peers.length === 1);
    const heardAt: number[] = [];
    peers[0]!.on('data', () => heardAt.push(performance.now()));
    const rounds: { up: number; down: number }[] = [];
    for (let n = 1; n <= 3; n++) {
      const said = performance.now();
      client.socket.write('x');
      await until(() => text(client).length === n);
      rounds.push({ up: heardAt[n - 1]! - said, down: performance.now() - heardAt[n - 1]! });
    }
    expect(most(...rounds.map(({ up }) => up))).toBeGreaterThanOrEqual(40);
    expect(most(...rounds.map(({ down }) => down))).toBeGreaterThanOrEqual(40);
  });

  it.each(['up', 'down'] as const)('passes no more %s than its rate', async (side) => {
    const client = await dial();
    await until(() => peers.length === 1);
    peers[0]!.unpipe();
    const [source, target] = side === 'up' ? [client.socket, peers[0]!] : [peers[0]!, client.socket];
    let count = 0;
    target.on('data', (bytes) => {
      count += bytes.length;
    });
    target.resume();
    chaos.rate(20_000);
    const begun = performance.now();
    source.write(Buffer.alloc(4000));
    await until(() => count === 4000);
    // The first 20 ms of it pass at once.
    expect(performance.now() - begun).toBeGreaterThanOrEqual(180);
  });

  it('is as it was when its faults are over', async () => {
    chaos.latency(60_000, 60_000);
    chaos.reorder(60_000, 1);
    chaos.rate(1);
    chaos.latency(0);
    chaos.reorder(0);
    chaos.rate(0);
    const client = await dial();
    client.socket.write('hello');
    await until(() => text(client) === 'hello');
  });

  it('keeps everything back during a stall, on the side asked for', async () => {
    const client = await dial();
    client.socket.write('a');
    await until(() => text(client) === 'a');
    let heard = '';
    peers[0]!.on('data', (bytes) => {
      heard += bytes;
    });
    chaos.stall(60_000, 'down');
    client.socket.write('b');
    await until(() => heard === 'b');
    await pause(50);
    expect(text(client)).toBe('a');
  });

  it('delivers after a stall what came during it', async () => {
    const client = await dial();
    chaos.stall(50);
    client.socket.write('late');
    await until(() => text(client) === 'late');
  });

  it('cuts by a reset', async () => {
    const client = await dial();
    await until(() => peers.length === 1);
    chaos.cut();
    await until(() => client.error === 'ECONNRESET');
    await until(() => peers[0]!.closed);
  });

  it('cuts as if each side had ended', async () => {
    const client = await dial();
    await until(() => peers.length === 1);
    chaos.cut('fin');
    await until(() => client.ended);
    expect(client.error).toBeUndefined();
  });

  it('is silent as a black hole, and gives back what was under way', async () => {
    const client = await dial();
    await until(() => peers.length === 1);
    chaos.blackHole(true);
    client.socket.write('lost?');
    peers[0]!.end();
    await pause(50);
    expect(client.chunks).toEqual([]);
    expect(client.ended).toBe(false);
    chaos.blackHole(false);
    await until(() => client.ended);
  });

  it('lets old bytes out when the next connection is up', async () => {
    const old = await dial();
    old.socket.write('before ');
    await until(() => text(old) === 'before ');
    chaos.holdOld(true);
    old.socket.write('after');
    const next = await dial();
    await pause(50);
    expect(text(old)).toBe('before ');
    next.socket.write('first');
    await until(() => text(old) === 'before after');
    expect(text(next)).toBe('first');
  });

  it('refuses while it is told to', async () => {
    chaos.refuse(true);
    const client = await dial();
    await until(() => client.error === 'ECONNRESET');
    chaos.refuse(false);
    const next = await dial();
    next.socket.write('x');
    await until(() => text(next) === 'x');
    expect(chaos.connections).toBe(1);
  });
});

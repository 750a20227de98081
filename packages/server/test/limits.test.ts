import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { Client, heard, oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { event, nextSession, serve, state, until } from './support/fixture';
import { sameEnvelope, speech, tone } from './support/signals';

describe('input', () => {
  it('of 10 s at once is stepped to the last sample, with never more than the limit in memory', async () => {
    const engine = new FakeEngine({ script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine, limits: { bufferedInputMs: 400 } });
    const client = await Client.ready(server);
    const said = speech(125);
    for (const message of await oggOpus(said)) client.audio(message);
    await client.count('audio', 125);
    expect(sameEnvelope(said, await heard(client))).toBeGreaterThan(0.9);
    expect(engine.opened[0]!.mostQueued).toBeLessThanOrEqual(5);
  });

  it('of 10 s in one message is stepped to the last sample', async () => {
    const engine = new FakeEngine({ script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine, limits: { bufferedInputMs: 80 } });
    const client = await Client.ready(server);
    const said = speech(125);
    client.audio(Buffer.concat(await oggOpus(said)));
    await client.count('audio', 125);
    expect(sameEnvelope(said, await heard(client))).toBeGreaterThan(0.9);
  });

  it('beyond the limit is left in the network until there is room', async () => {
    const engine = new FakeEngine({ auto: false, script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine, limits: { bufferedInputMs: 400, pingMs: 50 } });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    const [fake] = engine.opened;
    const pages = await oggOpus(tone(5, 300));
    for (const message of pages) client.audio(message);
    await until(() => fake!.queued === 3);
    client.audio(Buffer.concat(await oggOpus(tone(20, 300))));
    // A message behind the audio is only read when the audio is through.
    await until(() => client.socket.bufferedAmount === 0);
    const big = Buffer.alloc(1_000_000, 0x63);
    for (let i = 0; i < 20; i++) client.socket.send(big);
    let pings = 0;
    client.socket.on('ping', () => pings++);
    await until(() => pings > 5);
    expect(client.socket.bufferedAmount).toBeGreaterThan(1_000_000);
    expect(session.stats.ignoredMessages).toBeLessThan(20);
    // Not reading is no reason to take the client for dead, though its pongs are not seen.
    expect(session.state.name).toBe('live');
    for (let i = 0; i < 25; i++) {
      await until(() => fake!.queued > 0);
      fake!.step();
    }
    await client.count('audio', 25);
    await until(() => session.stats.ignoredMessages === 20);
  });

  it('of an engine that answers inside push works the same', async () => {
    const engine = new FakeEngine({ auto: false, script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine });
    const client = await Client.ready(server);
    const fake = engine.opened[0]!;
    const push = fake.push.bind(fake);
    fake.push = (pcm) => {
      push(pcm);
      fake.step();
    };
    client.audio(Buffer.concat(await oggOpus(tone(125, 300))));
    await client.count('audio', 125);
  });
});

describe('messages', () => {
  it('of the largest size pass, larger ones close with 1009 and free the slot', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }), limits: { messageBytes: 5000 } });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    const waiting = await Client.open(server);
    client.socket.send(Buffer.alloc(5000, 0x63));
    await until(() => session.stats.ignoredMessages === 1);
    client.socket.send(Buffer.alloc(5001, 0x63));
    expect(await client.closed).toMatchObject({ code: 1009, reason: 'message too big' });
    expect(client.of('error')[0]?.message).toMatch(/too big/);
    expect(session.state).toMatchObject({ code: 1009, reason: 'message too big' });
    await waiting.next('handshake');
  });

  it('that break the WebSocket rules end that session only', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }) });
    const client = await Client.ready(server);
    const waiting = await Client.open(server);
    // A frame with reserved bits set.
    (client.socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(
      Buffer.of(0xff, 0x80, 0, 0, 0, 0),
    );
    expect(await client.closed).toMatchObject({ code: 1002, reason: 'WebSocket error' });
    expect(client.of('error')[0]?.message).toMatch(/broke the rules/);
    await waiting.next('handshake');
  });
});

describe('output', () => {
  const loud = () => {
    // Noise takes the most bytes; text adds to it.
    const noise = Float32Array.from({ length: 1920 }, () => Math.random() * 2 - 1);
    return new FakeEngine({ script: () => ({ pcm: noise, text: 'x'.repeat(200_000) }) });
  };

  it('that nobody reads stops the steps, and the session goes on when it is read', async () => {
    const engine = loud();
    const server = await serve({ engine, limits: { bufferedOutputBytes: 2048 } });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    client.socket.pause();
    const drained = (client.socket as unknown as { _socket: { pause(): void } })._socket;
    drained.pause();
    for (const message of await oggOpus(tone(100, 300))) client.audio(message);
    let before = -1;
    while (before !== session.stats.framesIn) {
      before = session.stats.framesIn;
      // Many turns of the event loop without a step: it has stopped.
      for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(before).toBeLessThan(100);
    client.socket.resume();
    await client.count('audio', 100);
    expect(session.state.name).toBe('live');
  });

  it('that nobody reads for too long ends the session with 1008 and frees the slot', async () => {
    const server = await serve({ engine: loud(), limits: { bufferedOutputBytes: 2048, slowReaderMs: 30 } });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    const waiting = await Client.open(server);
    client.socket.pause();
    for (const message of await oggOpus(tone(100, 300))) client.audio(message);
    await waiting.next('handshake');
    expect(session.state).toEqual({ name: 'closing', code: 1008, reason: 'slow reader' });
    client.socket.resume();
    expect(await client.closed).toEqual({ code: 1008, reason: 'slow reader' });
    expect(client.of('error').at(-1)!.message).toContain('not read');
  });

  it('that is never read again is cut off after closeMs', async () => {
    const limits = { bufferedOutputBytes: 2048, slowReaderMs: 10, closeMs: 20 };
    const server = await serve({ engine: loud(), limits });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    client.socket.pause();
    for (const message of await oggOpus(tone(100, 300))) client.audio(message);
    await state(session, 'closed');
    expect(session.state).toMatchObject({ code: 1008 });
    client.socket.terminate();
  });
});

describe('time', () => {
  it('without audio ends a conversation', async () => {
    const server = await serve({ engine: loopbackEngine(), limits: { idleMs: 30 } });
    const client = await Client.ready(server);
    expect(await client.next('error')).toMatchObject({ message: expect.stringContaining('send silence') });
    expect(await client.closed).toEqual({ code: 1008, reason: 'idle' });
  });

  it('without audio does not count while the server itself does not read', async () => {
    const engine = new FakeEngine({ auto: false, script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine, limits: { idleMs: 200, bufferedInputMs: 80 } });
    const bytes = Buffer.concat(await oggOpus(tone(5, 300)));
    const client = await Client.ready(server);
    client.audio(bytes);
    const fake = engine.opened[0]!;
    await until(() => fake.queued > 0);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(client.of('error')).toEqual([]);
    for (let i = 0; i < 5; i++) {
      await until(() => fake.queued > 0);
      fake.step();
    }
    expect(await client.closed).toEqual({ code: 1008, reason: 'idle' });
    expect(client.of('audio')).toHaveLength(5);
  });

  it('of a whole conversation can be limited', async () => {
    const server = await serve({ engine: loopbackEngine(), limits: { sessionMs: 30 } });
    const client = await Client.ready(server);
    expect(await client.next('error')).toMatchObject({ message: 'A conversation here may last 30 ms.' });
    expect(await client.closed).toEqual({ code: 1008, reason: 'session limit' });
  });

  it('runs out for peers that answer no ping, live or waiting', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }), limits: { pingMs: 400 } });
    const sessions = [nextSession(server)];
    const dead = await Client.ready(server, '', { autoPong: false });
    sessions.push(nextSession(server));
    const deadInLine = await Client.open(server, '', { autoPong: false });
    const next = await Client.open(server);
    const payloads: string[] = [];
    next.socket.on('ping', (data: Buffer) => payloads.push(data.toString()));
    await next.next('handshake');
    expect(await dead.closed).toMatchObject({ code: 1006 });
    expect(await deadInLine.closed).toMatchObject({ code: 1006 });
    for (const session of sessions) expect((await session).state.name).toBe('closed');
    await until(() => payloads.length > 2);
    expect(new Set(payloads)).toEqual(new Set(['']));
    expect(next.socket.readyState).toBe(next.socket.OPEN);
  });
});

describe('connections', () => {
  it('from one address are limited, refused ones and waiting ones included', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }), limits: { connectionsPerAddress: 2 } });
    const first = await Client.ready(server);
    await Client.open(server);
    const refused = await Client.open(server);
    expect(await refused.closed).toMatchObject({ code: 1013, reason: 'too many connections' });
    expect(refused.of('error')[0]?.message).toMatch(/2 connections from this address/);
    await first.close();
    await until(() => server.sessions.size === 1);
    await Client.open(server);
  });

  it('count for the address the host names', async () => {
    const server = await serve({
      engine: loopbackEngine(),
      limits: { connectionsPerAddress: 1 },
      clientAddress: ({ headers }) => String(headers['x-real-ip']),
    });
    const started = nextSession(server);
    await Client.ready(server, '', { headers: { 'x-real-ip': '10.0.0.1' } });
    expect((await started).address).toBe('10.0.0.1');
    await Client.ready(server, '', { headers: { 'x-real-ip': '10.0.0.2' } });
    const refused = await Client.open(server, '', { headers: { 'x-real-ip': '10.0.0.1' } });
    expect(await refused.closed).toMatchObject({ code: 1013, reason: 'too many connections' });
  });

  it('that end are forgotten', async () => {
    const server = await serve({ engine: loopbackEngine(), limits: { connectionsPerAddress: 1 } });
    for (let i = 0; i < 5; i++) {
      const started = nextSession(server);
      const client = await Client.ready(server);
      const ended = event((await started) as never, 'closed');
      await client.close();
      await ended;
    }
  });
});

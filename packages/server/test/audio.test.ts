import { encodeMessage, OggOpusWriter } from '@moshi/protocol';
import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { Client, heard, oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { event, nextSession, serve, until } from './support/fixture';
import { random, sameEnvelope, speech, strength, tone } from './support/signals';

describe('audio', () => {
  it('comes back through the loopback engine as it was said', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const client = await Client.ready(server);
    const said = speech(50);
    for (const message of await oggOpus(said)) client.audio(message);
    await client.count('audio', 50);
    const back = await heard(client);
    expect(back).toHaveLength(said.length);
    expect(sameEnvelope(said, back)).toBeGreaterThan(0.9);
    expect(sameEnvelope(speech(50, 140, 2), back)).toBeLessThan(0.5);
  });

  it.each([
    ['20 ms packets, 2 a page (official web client)', { frameMs: 20, packetsPerPage: 2 }],
    ['20 ms packets, 1 a page', { frameMs: 20, packetsPerPage: 1 }],
    ['40 ms packets, 1 a page (Rust and Python clients)', { frameMs: 40, packetsPerPage: 1 }],
    ['20 ms packets, 50 a page', { frameMs: 20, packetsPerPage: 50 }],
    ['another serial', { serial: 0xfffffffe }],
  ] as const)('is taken in any layout: %s', async (_, layout) => {
    const server = await serve({ engine: loopbackEngine() });
    const client = await Client.ready(server);
    const said = speech(25);
    for (const message of await oggOpus(said, layout)) client.audio(message);
    await client.count('audio', 25);
    expect(sameEnvelope(said, await heard(client))).toBeGreaterThan(0.9);
  });

  it('is taken in any split: half pages, several pages in one message, bytes one by one', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const said = speech(10);
    const bytes = Buffer.concat(await oggOpus(said));
    const next = random(5);
    for (const cut of [() => 1, () => 27, () => 1 + Math.floor(next() * 700), () => bytes.length]) {
      const client = await Client.ready(server);
      for (let at = 0; at < bytes.length; ) {
        const end = at + cut();
        client.audio(bytes.subarray(at, end));
        at = end;
      }
      await client.count('audio', 10);
      expect(sameEnvelope(said, await heard(client))).toBeGreaterThan(0.9);
      await client.close();
    }
  });

  it('sent before the handshake keeps its headers only, and the stream goes on', async () => {
    let open!: () => void;
    const opening = new Promise<void>((resolve) => {
      open = resolve;
    });
    const engine = new FakeEngine({ opening: () => opening, script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine });
    const started = nextSession(server);
    const client = await Client.open(server);
    const session = await started;
    const bytes = await oggOpus(Float32Array.of(...tone(5, 300), ...tone(5, 700)));
    // The headers, 5 frames and half of the page after them come too early.
    for (const message of bytes.slice(0, 11)) client.audio(message);
    const page = bytes[11]!;
    client.audio(page.subarray(0, 40));
    client.send({ type: 'handshake' });
    await until(() => session.stats.ignoredMessages === 1);
    expect(session.stats.droppedPages).toBe(10);
    open();
    await client.next('handshake');
    client.audio(page.subarray(40));
    for (const message of bytes.slice(12)) client.audio(message);
    await client.count('audio', 5);
    const back = await heard(client);
    expect(strength(back.subarray(1920), 700)).toBeGreaterThan(0.2);
    expect(strength(back.subarray(1920), 300)).toBeLessThan(0.05);
    expect(session.stats).toMatchObject({ framesIn: 5, brokenAudio: 0 });
  });

  it('with pages missing, damaged or strange between them goes on, with one Error message', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    const pages = await oggOpus(tone(20, 300));
    const damaged = Uint8Array.from(pages[5]!);
    damaged[damaged.length - 1]! ^= 0xff;
    const writer = new OggOpusWriter();
    writer.header();
    const badPacket = writer.page([Uint8Array.of(0x48, 1, 2, 3)]);
    const sent = [
      ...pages.slice(0, 5),
      damaged,
      ...pages.slice(6, 10),
      Buffer.from('this is no Ogg at all'),
      ...pages.slice(10, 15),
      badPacket,
      ...pages.slice(16),
    ];
    for (const message of sent) client.audio(message);
    await client.count('audio', 19);
    await until(() => session.stats.framesIn === 19);
    expect(session.stats.brokenAudio).toBeGreaterThanOrEqual(2);
    expect(client.of('error')).toHaveLength(1);
    expect(session.state.name).toBe('live');
  });

  it('of a second stream on the same connection is taken too', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const client = await Client.ready(server);
    for (const message of await oggOpus(tone(5, 300))) client.audio(message);
    for (const message of await oggOpus(tone(5, 300))) client.audio(message);
    await client.count('audio', 10);
    expect(client.of('error')).toEqual([]);
  });

  it('of two conversations never mixes', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 2 }) });
    const [low, high] = [await Client.ready(server), await Client.ready(server)];
    const [lowPages, highPages] = [await oggOpus(tone(25, 250)), await oggOpus(tone(25, 900))];
    lowPages.forEach((page, i) => {
      low.audio(page);
      high.audio(highPages[i]!);
    });
    await Promise.all([low.count('audio', 25), high.count('audio', 25)]);
    const [lowBack, highBack] = [await heard(low), await heard(high)];
    expect(strength(lowBack, 250)).toBeGreaterThan(0.25);
    expect(strength(lowBack, 900)).toBeLessThan(0.01);
    expect(strength(highBack, 900)).toBeGreaterThan(0.25);
    expect(strength(highBack, 250)).toBeLessThan(0.01);
  });
});

describe('strange messages', () => {
  it('are ignored, counted and harmless', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    client.socket.send('a text frame');
    client.socket.send(Buffer.alloc(0));
    client.socket.send(Buffer.of(0x63, 1, 2));
    client.socket.send(Buffer.of(0x03));
    client.socket.send(Buffer.of(0x03, 9));
    client.socket.send(Buffer.from('\x04{"not json'));
    client.socket.send(Buffer.from('\x20[]'));
    client.send({ type: 'text', text: '  ' });
    client.send({ type: 'handshake' });
    client.socket.send(Buffer.of(0x00, 0, 0));
    client.send({ type: 'image', data: Buffer.alloc(9) });
    client.send({ type: 'ping' });
    client.socket.send(Buffer.of(0x01));
    for (const message of await oggOpus(tone(3, 300))) client.audio(message);
    await client.count('audio', 3);
    expect(session.stats.ignoredMessages).toBe(10);
    expect(client.raw.map((bytes) => bytes[0])).toEqual([0, 1, 1, 1]);
  });

  it('write one log line of each kind', async () => {
    const lines: string[] = [];
    const log = (message: string) => lines.push(message);
    const server = await serve({
      engine: loopbackEngine(),
      logger: { debug: log, info: log, warn: log, error: log },
    });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    for (let i = 0; i < 50; i++) client.socket.send(Buffer.of(0x63));
    client.socket.send('text');
    await until(() => session.stats.ignoredMessages === 51);
    expect(lines.filter((line) => line.startsWith('ignored'))).toEqual([
      'ignored a message of type 99',
      'ignored a text frame',
    ]);
  });

  it.each([1, 2, 3, 4, 5, 6])('of random bytes never end the session or the server (seed %i)', async (seed) => {
    const server = await serve({ engine: loopbackEngine() });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    const next = random(seed);
    const pages = await oggOpus(tone(15, 300));
    const bytes = (length: number) => Buffer.from(Array.from({ length }, () => Math.floor(next() * 256)));
    for (const page of pages) {
      const dice = next();
      if (dice < 0.3) {
        client.socket.send(bytes(Math.floor(next() * 400)));
      } else if (dice < 0.5) {
        client.audio(bytes(Math.floor(next() * 2000)));
      } else if (dice < 0.7) {
        const spoilt = Buffer.from(page);
        for (let i = 0; i < 3; i++) spoilt[Math.floor(next() * spoilt.length)] = Math.floor(next() * 256);
        client.audio(spoilt);
      } else {
        client.audio(page.subarray(0, Math.ceil(next() * page.length)));
      }
    }
    // Random control messages may have paused it, random bytes may look like the start of a page of 64 KB.
    client.control('start');
    client.audio(Buffer.alloc(70_000));
    client.socket.ping();
    await new Promise((resolve) => client.socket.once('pong', resolve));
    await until(() => session.state.name === 'live');
    // The 30 messages so far hold at most 15 frames: 20 more prove that fresh audio gets through.
    const before = session.stats.framesOut;
    for (const message of await oggOpus(tone(20, 300))) client.audio(message);
    await until(() => session.stats.framesOut >= before + 20);
    expect(client.of('error').length).toBeLessThanOrEqual(1);
  });
});

describe('a little that decodes to much', () => {
  // One byte of Opus stands for 60 ms: a page of 255 for 15 s.
  const bomb = (pages: number) => {
    const writer = new OggOpusWriter();
    const parts = [writer.header()];
    const packets = Array.from({ length: 255 }, () => Uint8Array.of(0x18));
    for (let i = 0; i < pages; i++) parts.push(writer.page(packets));
    return Buffer.concat(parts);
  };

  it('is decoded only as far as it is stepped', async () => {
    const engine = new FakeEngine({ auto: false, slots: 2 });
    const server = await serve({ engine });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    const message = bomb(1000);
    expect(message.length).toBeLessThan(600_000);
    client.audio(message);
    await until(() => session.stats.framesIn === 3);
    // The others go on.
    const other = await Client.ready(server);
    expect(engine.opened[0]!.queued).toBe(3);
    await other.close();
    client.socket.terminate();
    engine.opened[0]!.step();
    await event(session as never, 'closed');
  });

  it('is not decoded at all before the handshake and while paused', async () => {
    const engine = new FakeEngine({ script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine });
    const first = await Client.ready(server);
    const started = nextSession(server);
    const waiting = await Client.open(server);
    const session = await started;
    waiting.audio(bomb(2000));
    await until(() => session.stats.droppedPages === 2000);
    await first.close();
    await waiting.next('handshake');
    waiting.control('pause');
    waiting.audio(bomb(2000));
    await until(() => session.stats.droppedPages === 4000);
    expect(session.stats.framesIn).toBe(0);
  });

  it('is no message of the limit: that one is refused', async () => {
    expect(encodeMessage({ type: 'audio', data: bomb(10_000) }).length).toBeGreaterThan(4 * 1024 * 1024);
  });
});

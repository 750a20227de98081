import { describe, expect, it } from 'vitest';
import { Client, oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve, state, until } from './support/fixture';
import { tone } from './support/signals';

async function start(engine: FakeEngine, query = '?extensions=1') {
  const server = await serve({ engine });
  const started = nextSession(server);
  const client = await Client.ready(server, query);
  return { client, session: await started };
}

describe('control messages', () => {
  it('pause stops stepping and drops audio, start goes on with the same Opus stream', async () => {
    const engine = new FakeEngine({ script: (_, input) => ({ pcm: input }) });
    const { client, session } = await start(engine);
    const pages = await oggOpus(tone(12, 300));
    const send = (from: number, to: number) => pages.slice(from, to).forEach((page) => void client.audio(page));
    send(0, 9); // the headers and 4 frames
    await client.count('audio', 4);
    client.control('pause');
    await state(session, 'paused');
    send(9, 17);
    client.control('start');
    await state(session, 'live');
    expect(session.stats).toMatchObject({ framesIn: 4, droppedPages: 8 });
    send(17, 25);
    await client.count('audio', 8);
    expect(session.stats).toMatchObject({ framesIn: 8, framesOut: 8, brokenAudio: 0 });
    expect(client.of('error')).toEqual([]);
  });

  it('restart begins the conversation anew on the same connection', async () => {
    const engine = new FakeEngine({ script: (step) => ({ pcm: null, text: ` ${step}` }) });
    const { client, session } = await start(engine);
    const pages = await oggOpus(tone(6, 300));
    for (const page of pages.slice(0, 7)) client.audio(page);
    await client.count('text', 3);
    let goOn!: () => void;
    engine.opened[0]!.resetting = new Promise((resolve) => {
      goOn = resolve;
    });
    client.control('restart');
    await state(session, 'prompting');
    client.control('restart');
    await until(() => session.stats.ignoredMessages === 1);
    goOn();
    await client.next('event');
    expect(client.of('event')).toEqual([{ type: 'event', name: 'restarted' }]);
    expect(session.state.name).toBe('live');
    for (const page of pages.slice(7)) client.audio(page);
    await client.count('text', 6);
    expect(client.of('text').map(({ text }) => text)).toEqual([' 0', ' 1', ' 2', ' 0', ' 1', ' 2']);
    expect(client.of('handshake')).toHaveLength(1);
    expect(engine.opened).toHaveLength(1);
    expect(engine.opened[0]!.resets).toBe(1);
  });

  it('pause drops what waits to be stepped, and so does restart', async () => {
    for (const action of ['pause', 'restart'] as const) {
      const engine = new FakeEngine({ auto: false, script: (_, input) => ({ pcm: input }) });
      const { client, session } = await start(engine);
      const fake = engine.opened[0]!;
      for (const page of await oggOpus(tone(10, 300))) client.audio(page);
      await until(() => session.stats.framesIn === 3);
      client.control(action);
      await state(session, action === 'pause' ? 'paused' : 'prompting');
      client.control('start');
      await state(session, 'live');
      while (fake.queued > 0) fake.step();
      for (const page of await oggOpus(tone(1, 300))) client.audio(page);
      await until(() => fake.queued === 1);
      expect(session.stats.framesIn).toBe(4);
    }
  });

  it('restart leaves out answers of the old conversation and counts max_steps anew', async () => {
    const engine = new FakeEngine({ auto: false, script: (step, input) => ({ pcm: input, text: ` ${step}` }) });
    const { client, session } = await start(engine, '?extensions=1&max_steps=3');
    const fake = engine.opened[0]!;
    const pages = await oggOpus(tone(8, 300));
    for (const page of pages.slice(0, 5)) client.audio(page);
    await until(() => fake.queued === 2);
    fake.step();
    fake.step();
    let goOn!: () => void;
    fake.resetting = new Promise((resolve) => {
      goOn = resolve;
    });
    client.control('restart');
    await state(session, 'prompting');
    fake.emit('frame', { step: 2, pcm: new Float32Array(1920), text: ' late', token: 1, timing: {} });
    goOn();
    await state(session, 'live');
    for (const page of pages.slice(5)) client.audio(page);
    await until(() => fake.queued === 3);
    while (fake.queued > 0) fake.step();
    expect(await client.closed).toEqual({ code: 1000, reason: 'step limit' });
    expect(client.of('text').map(({ text }) => text)).toEqual([' 0', ' 1', ' 0', ' 1', ' 2']);
  });

  it('restart also leads out of a pause', async () => {
    const engine = new FakeEngine({ script: (_, input) => ({ pcm: input }) });
    const { client, session } = await start(engine);
    client.control('pause');
    await state(session, 'paused');
    client.control('restart');
    await state(session, 'live');
    for (const page of await oggOpus(tone(2, 300))) client.audio(page);
    await client.count('audio', 2);
  });

  it('a failing reset ends the session with 1011', async () => {
    const engine = new FakeEngine();
    const { client } = await start(engine);
    let fail!: (error: Error) => void;
    engine.opened[0]!.resetting = new Promise((_, reject) => {
      fail = reject;
    });
    client.control('restart');
    await until(() => engine.opened[0]!.resets === 1);
    fail(new Error('the device is gone'));
    expect(await client.next('error')).toMatchObject({ message: 'The engine failed: the device is gone' });
    expect(await client.closed).toMatchObject({ code: 1011 });
  });

  it('endTurn and actions out of place change nothing', async () => {
    const engine = new FakeEngine({ script: (_, input) => ({ pcm: input }) });
    const { client, session } = await start(engine);
    client.control('endTurn');
    client.control('start');
    for (const page of await oggOpus(tone(2, 300))) client.audio(page);
    await client.count('audio', 2);
    expect(session.state.name).toBe('live');
  });

  it('max_steps ends the conversation after that many steps, with no step more', async () => {
    const engine = new FakeEngine({ script: (step, input) => ({ pcm: step === 0 ? null : input, text: ` ${step}` }) });
    const { client } = await start(engine, '?max_steps=5');
    for (const page of await oggOpus(tone(20, 300))) client.audio(page);
    expect(await client.closed).toEqual({ code: 1000, reason: 'step limit' });
    expect(client.of('text').map(({ text }) => text)).toEqual([' 0', ' 1', ' 2', ' 3', ' 4']);
    expect(client.of('audio')).toHaveLength(4);
    expect(engine.opened[0]!.pushed).toHaveLength(5);
    expect(engine.opened[0]!.closed).toBe(true);
  });
});

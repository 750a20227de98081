import { createServer } from '@moshi/server';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeEngine } from '../../server/test/support/fake-engine';
import { state } from '../../server/test/support/fixture';
import { call, countingEngine, eventually, hangUp, lossyServer, words } from './support/lossy-call';
import { envelopeCorrelation, speech } from './support/signal';

afterEach(hangUp);

const frames = (count: number) => speech(count * 0.08);

describe('a connection that is lost', () => {
  it('mid-word is taken up again: every word once and in order, and not a sample less', async () => {
    const engine = countingEngine();
    const { chaos } = await lossyServer(engine);
    const { session, text, sound, heard, say, names } = await call(chaos);
    expect(session.resumable).toBe(true);
    const said = frames(120);
    await say(said, (frame) => frame % 20 === 10 && chaos.cut(frame % 40 === 10 ? 'rst' : 'fin'));
    await eventually(text).toBe(words(120));
    await eventually(() => heard().length).toBe(120 * 1920);
    expect(engine.opened).toHaveLength(1);
    expect(engine.opened[0]!.pushed).toHaveLength(120);
    expect(envelopeCorrelation(said, heard())).toBeGreaterThan(0.9);
    // The reply's clock has no holes and never goes back.
    let time = 0;
    for (const event of sound) {
      expect(event.time).toBeCloseTo(time, 6);
      time += event.pcm.length / 24_000;
    }
    expect(names().filter((name) => name === 'resumed')).toHaveLength(6);
    expect(new Set(names())).toEqual(new Set(['reconnecting', 'resumed']));
    expect(session.metrics).toMatchObject({ reconnects: 6, resumes: 6, droppedSeconds: 0, lostPackets: 0 });
  });

  it('and once more while it comes back, wherever that is', async () => {
    const { chaos, sessions } = await lossyServer();
    const { session, text, say } = await call(chaos);
    let cuts = 0;
    // Bytes come one at a time, so that the second cut hits the upgrade, the notices before the handshake, or the replay.
    session.on('reconnecting', () => {
      chaos.split(40);
      chaos.latency(1);
      if (++cuts % 2 === 1) setTimeout(() => chaos.cut(), cuts * 3);
    });
    await say(frames(60), (frame) => frame % 12 === 6 && chaos.cut());
    await eventually(text).toBe(words(60));
    expect(cuts).toBeGreaterThan(5);
    expect(sessions).toHaveLength(1);
  });

  it('without anybody being told is found out, and the socket that seems open is given up', async () => {
    const { chaos, sessions } = await lossyServer();
    const { session, text, say, log } = await call(chaos, { idleTimeoutMs: 1500, handshakeTimeoutMs: 1500 });
    session.on('reconnecting', () => setTimeout(() => chaos.blackHole(false), 50));
    await say(frames(40), (frame) => frame === 20 && chaos.blackHole(true));
    await eventually(text).toBe(words(40));
    expect(log[0]).toMatchObject(['reconnecting', { error: { code: 'silent' } }]);
    expect(log.at(-1)![0]).toBe('resumed');
    expect(sessions).toHaveLength(1);
  });

  it('does not deliver what it held back once another has taken its place', async () => {
    const engine = countingEngine();
    const { chaos } = await lossyServer(engine);
    const { text, heard, say, log } = await call(chaos, { idleTimeoutMs: 1500 });
    await say(frames(40), (frame) => frame === 20 && chaos.holdOld(true));
    await eventually(text).toBe(words(40));
    expect(heard()).toHaveLength(40 * 1920);
    expect(engine.opened[0]!.pushed).toHaveLength(40);
    expect(log.map(([name]) => name)).toEqual(['reconnecting', 'resumed']);
  });

  it('before anything was said is taken up again', async () => {
    const { chaos, sessions } = await lossyServer();
    const { session, text, say, log } = await call(chaos);
    chaos.cut();
    await eventually(() => log.at(-1)?.[0]).toBe('resumed');
    expect(log.at(-1)![1]).toMatchObject({ replayedMessages: 0, resentMs: 0, droppedMs: 0 });
    expect(session.state).toEqual({ status: 'ready' });
    await say(frames(5));
    await eventually(text).toBe(words(5));
    expect(sessions).toHaveLength(1);
  });

  it('keeps what is said meanwhile up to its limit, and says what is dropped', async () => {
    const { chaos, sessions } = await lossyServer();
    const { session, log } = await call(chaos, { maxBufferedMs: 800, reconnect: { delaysMs: [200] } });
    session.sendSilence(80);
    await eventually(() => session.metrics.audioReceivedSeconds).toBe(0.08);
    session.on('reconnecting', () => session.sendAudio(frames(25)));
    chaos.cut();
    await eventually(() => log.at(-1)?.[0]).toBe('resumed');
    expect(log.filter(([name]) => name === 'dropped')).toEqual([['dropped', { ms: 1200, totalMs: 1200 }]]);
    expect(log.at(-1)![1]).toMatchObject({ resentMs: 0, droppedMs: 1200 });
    await eventually(() => sessions[0]!.stats.framesIn).toBe(11);
  });

  it('is not burdened with what was said meanwhile where the engine would never catch up', async () => {
    const engine = countingEngine();
    Object.assign(engine.info, { keepsUp: false });
    const { chaos } = await lossyServer(engine);
    const { say, log } = await call(chaos, { idleTimeoutMs: 1500 });
    await say(frames(40), (frame) => frame === 20 && chaos.holdOld(true));
    await eventually(() => log.at(-1)?.[0]).toBe('resumed');
    expect(log.at(-1)![1]).toMatchObject({ resentMs: 0 });
    // 20 frames went into the void, and pages of 40 ms say how far the server was.
    expect((log.at(-1)![1] as { droppedMs: number }).droppedMs).toBe(1600);
  });
});

describe('over a loss', () => {
  it('a pause goes on', async () => {
    const { chaos, sessions } = await lossyServer();
    const { session, text, say, names } = await call(chaos, { idleTimeoutMs: 500 });
    await say(frames(3));
    await eventually(text).toBe(words(3));
    session.pause();
    await state(sessions[0]!, 'paused');
    chaos.cut();
    await eventually(() => names().at(-1)).toBe('resumed');
    expect(sessions[0]!.state.name).toBe('paused');
    // A server that was asked to be silent is not taken for a dead one.
    await say(frames(5));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(names()).toEqual(['reconnecting', 'resumed']);
    session.resume();
    await state(sessions[0]!, 'live');
    await say(frames(2));
    await eventually(text).toBe(words(5));
  });

  it('a restart comes to its end', async () => {
    const { chaos, sessions } = await lossyServer();
    const { session, say, names, text } = await call(chaos);
    await say(frames(3));
    await eventually(text).toBe(words(3));
    const restarted = session.restart();
    chaos.cut();
    await restarted;
    await eventually(() => names().at(-1)).toBe('resumed');
    await say(frames(2));
    await eventually(text).toBe(words(3) + words(2));
    expect(sessions).toHaveLength(1);
  });

  it('a text is spoken to its end, once, also when the loss swallowed the request', async () => {
    const engine = new FakeEngine({ speaks: true });
    const { chaos } = await lossyServer(engine);
    const { session, text, names } = await call(chaos);
    const first = session.say('one two three four five six seven eight');
    await new Promise((resolve) => session.once('say-word', resolve));
    chaos.cut();
    await eventually(() => names().at(-1)).toBe('resumed');
    expect(await first).toEqual({ text: 'one two three four five six seven eight', completed: true });
    const second = session.say('nine');
    chaos.cut();
    expect(await second).toEqual({ text: 'nine', completed: true });
    await eventually(text).toBe(' one two three four five six seven eight nine');
    expect((engine.opened[0] as { said?: unknown[] }).said).toHaveLength(2);
  });

  it('nothing can be asked for', async () => {
    const { chaos } = await lossyServer(new FakeEngine({ speaks: true }));
    const { session } = await call(chaos, { reconnect: { delaysMs: [60_000] } });
    chaos.cut();
    await eventually(() => session.state.status).toBe('reconnecting');
    await expect(session.say('hello')).rejects.toMatchObject({ code: 'closed', retryable: true });
    expect(() => session.endTurn()).toThrow(expect.objectContaining({ code: 'closed' }));
    await session.close();
    expect(session.state).toEqual({ status: 'closed', code: 1006, reason: '' });
  });
});

describe('a conversation that is not kept', () => {
  const talk = async (...[engine, limits]: Parameters<typeof lossyServer>) => {
    const lossy = await lossyServer(engine, limits);
    const one = await call(lossy.chaos);
    await one.say(frames(5));
    await eventually(one.text).toBe(words(5));
    return { ...lossy, ...one };
  };

  it('because too much was missed is followed by a new one', async () => {
    const { chaos, say, log, sound, text, sessions } = await talk(undefined, { resumeBytes: 300 });
    chaos.stall(60_000, 'down');
    await say(frames(10));
    await eventually(() => sessions[0]!.stats.framesOut).toBe(15);
    chaos.cut();
    await eventually(() => log.at(-1)).toMatchObject(['new-conversation', { reason: 'gap' }]);
    await say(frames(3));
    await eventually(text).toBe(words(5) + words(3));
    expect(sessions).toHaveLength(2);
    expect(sessions[0]!.state).toMatchObject({ name: 'closed', code: 1006 });
    // Its clock goes on from where the other's stood.
    for (const [i, { time }] of sound.entries()) expect(time).toBeGreaterThanOrEqual(sound[i - 1]?.time ?? 0);
  });

  it('because its time is over is followed by a new one', async () => {
    const { chaos, log, sessions, say, text } = await talk(undefined, { resumeMs: 20 });
    chaos.refuse(true);
    chaos.cut();
    await state(sessions[0]!, 'closed');
    chaos.refuse(false);
    await eventually(() => log.at(-1)).toMatchObject(['new-conversation', { reason: 'expired' }]);
    await say(frames(2));
    await eventually(text).toBe(words(5) + words(2));
  });

  it('because the server was started anew is followed by a new one', async () => {
    const { server, log, text, say } = await talk();
    const { port } = server.address!;
    await server.close();
    const next = await createServer({ engine: countingEngine(), port });
    await eventually(() => log.at(-1)).toMatchObject(['new-conversation', { reason: 'unknown' }]);
    await say(frames(2));
    await eventually(text).toBe(words(5) + words(2));
    await next.close();
  });

  it('because the server keeps none is followed by a new one', async () => {
    const { chaos, session, log, text, say } = await talk(undefined, { resumeMs: 0 });
    expect(session.resumable).toBe(false);
    chaos.cut();
    await eventually(() => log.at(-1)).toMatchObject(['new-conversation', { reason: 'not-offered' }]);
    await say(frames(2));
    await eventually(text).toBe(words(5) + words(2));
  });

  it('ends the session where no new one is wanted', async () => {
    const { chaos, sessions } = await lossyServer(undefined, { resumeBytes: 300 });
    const one = await call(chaos, { reconnect: { delaysMs: [0], newConversation: false } });
    chaos.stall(60_000, 'down');
    await one.say(frames(10));
    await eventually(() => sessions[0]!.stats.framesOut).toBe(10);
    const closed = new Promise((resolve) => one.session.once('closed', resolve));
    chaos.cut();
    expect(await closed).toMatchObject({ error: { code: 'closed', message: expect.stringContaining('gap') } });
    const plain = await lossyServer(undefined, { resumeMs: 0 });
    const two = await call(plain.chaos, { reconnect: { newConversation: false } });
    plain.chaos.cut();
    await eventually(() => two.names()).toEqual(['error', 'closed']);
  });
});

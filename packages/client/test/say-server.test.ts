import { concat } from '@moshi/protocol/audio';
import { createServer, type Server } from '@moshi/server';
import { afterEach, describe, expect, it } from 'vitest';
import { connect, connectStream, type MoshiError, type Session, type StreamEvent } from '../src/index';
import { envelopeCorrelation, speech } from './support/signal';
import { speakingEngine } from './support/speaking-engine';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 100 })));
});

async function serve(voices?: readonly string[]) {
  const speaking = speakingEngine(voices);
  const server = await createServer({ engine: speaking.engine, host: '127.0.0.1', port: 0 });
  servers.push(server);
  return { ...speaking, server };
}

/** Sends a frame of silence for every frame that comes back, so that the model gets on. */
function keepTalking(session: Session): void {
  let samples = 0;
  session.on('audio', ({ pcm }) => {
    for (samples += pcm.length; samples >= 1920 && session.state.status === 'ready'; samples -= 1920) {
      session.sendSilence(80);
    }
  });
  session.sendSilence(80);
}

describe('say, with @moshi/server', () => {
  it('is spoken word for word while the user talks, and heard of in order', async () => {
    const { server, log } = await serve();
    const events: StreamEvent[] = [];
    const said: Promise<unknown>[] = [];
    const onSession = (session: Session) => {
      said.push(session.say('Your order has shipped.', { floor: 'wait' }), session.say('Bye.'));
    };
    const pcm = speech(2);
    for await (const event of connectStream(server.url, [pcm], { onSession })) events.push(event);
    expect(await Promise.all(said)).toEqual([
      { text: 'Your order has shipped.', completed: true },
      { text: 'Bye.', completed: true },
    ]);
    expect(log.slice(1)).toEqual([
      { say: 'Your order has shipped.', floor: 'wait' },
      { say: 'Bye.', floor: 'interrupt' },
    ]);
    const text = events.map((event) => (event.type === 'text' ? event.text : '')).join('');
    expect(text).toBe(' Your order has shipped. Bye.');
    const words = events.flatMap((event) => (event.type === 'say-word' ? [[event.id, event.word, event.time]] : []));
    expect(words.map(([id, word]) => [id, word])).toEqual([
      [1, 'Your'],
      [1, 'order'],
      [1, 'has'],
      [1, 'shipped.'],
      [2, 'Bye.'],
    ]);
    const times = words.map(([, , time]) => time as number);
    for (const [i, time] of times.slice(1).entries()) expect(time).toBeCloseTo(times[i]! + 0.08);
    const reply = concat(events.flatMap((event) => (event.type === 'audio' ? [event.pcm] : [])));
    expect(envelopeCorrelation(pcm, reply)).toBeGreaterThan(0.9);
  });

  it('can be taken back, and the model interrupted', async () => {
    const { server, log } = await serve();
    const session = await connect(server.url);
    const controller = new AbortController();
    const long = Array.from({ length: 500 }, () => 'word').join(' ');
    const first = session.say(long, { signal: controller.signal });
    const second = session.say(long);
    session.once('say-word', () => controller.abort());
    keepTalking(session);
    const { text, completed } = await first;
    expect(completed).toBe(false);
    expect(text).toMatch(/^word( word)*$/);
    expect(text.length).toBeLessThan(long.length);
    session.interrupt();
    expect(await second).toMatchObject({ completed: false });
    expect(log).toContain('interrupt');
    await session.close();
  });

  it('is refused with the engine’s words', async () => {
    const { server } = await serve();
    const session = await connect(server.url);
    await expect(session.say('a # b')).rejects.toMatchObject({ code: 'server', message: 'no piece for #' });
    await session.close();
  });

  it('of a host reaches its client', async () => {
    const { server } = await serve();
    const hosted = new Promise<unknown>((resolve) => {
      server.once('session', (host) => resolve(host.say('Welcome.')));
    });
    const session = await connect(server.url);
    const ended = new Promise((resolve) => session.once('say-end', resolve));
    keepTalking(session);
    expect(await ended).toEqual({ id: -1, text: 'Welcome.', completed: true });
    expect(await hosted).toEqual({ text: 'Welcome.', completed: true });
    await session.close();
  });

  it('goes as plain text without extensions', async () => {
    const { server } = await serve();
    const session = await connect(server.url, { extensions: false });
    const heard = new Promise<string>((resolve) => {
      let all = '';
      session.on('text', ({ text }) => {
        all += text;
        if (all.endsWith('you')) resolve(all);
      });
    });
    await session.say('Good to see you', { force: true });
    keepTalking(session);
    expect(await heard).toBe(' Good to see you');
    await session.close();
  });
});

describe('a conversation, with @moshi/server', () => {
  it('has its persona, and speaks only what it is given when asked to', async () => {
    const { server, log } = await serve(['NATF0']);
    await (await connect(server.url, { prompt: 'Alone.' })).close();
    expect(log.splice(0)).toEqual([{ prompt: 'Alone.' }]);
    const session = await connect(server.url, { voice: 'NATF0', prompt: 'Be kind.', sayOnly: true });
    expect(log).toEqual([{ voice: expect.stringMatching(/^NATF0/), prompt: 'Be kind.', sayOnly: true }]);
    await session.close();
    const error = await connect(server.url, { voice: 'nobody' }).then(
      () => expect.fail(),
      (thrown: MoshiError) => thrown,
    );
    expect(error).toMatchObject({ code: 'server', retryable: false, message: expect.stringContaining('NATF0') });
  });

  it('begins anew, ends turns, and stands still', async () => {
    const { server, log, opened } = await serve();
    const session = await connect(server.url);
    session.endTurn();
    const said = session.say('never heard');
    await session.restart();
    expect(await said).toMatchObject({ completed: false });
    expect(log.slice(1)).toEqual(['endTurn', { say: 'never heard', floor: 'interrupt' }, 'reset', 'cancel']);
    session.pause();
    session.sendSilence(800);
    session.resume();
    session.sendSilence(160);
    const frames = await new Promise<number>((resolve) => {
      let samples = 0;
      session.on('audio', ({ pcm }) => {
        samples += pcm.length;
        if (samples === 2 * 1920) setTimeout(() => resolve(samples / 1920), 50);
      });
    });
    expect(frames).toBe(2);
    await session.close();
    await expect.poll(() => opened[0]?.closed).toBe(true);
  });
});

import { concat } from '@moshi/protocol/audio';
import type { Engine } from '@moshi/server';
import { afterEach, describe, expect, expectTypeOf, it, vi } from 'vitest';
import {
  type RemoteEngine,
  RemoteEngineError,
  type RemoteEngineSession,
  type RemoteSessionOptions,
  remoteEngine,
} from '../src/index';
import { announcing, closeEngines, engineFor, failure, opened } from './support/remote';
import type { Script } from './support/server';
import { envelopeCorrelation, speech } from './support/signal';
import { kyutaiPython, kyutaiRust, moshiServerLm, personaPlex } from './support/stock-servers';
import { handshake, opusPages, pageMessages } from './support/wire';

afterEach(closeEngines);

const stock: [string, () => Script, RemoteSessionOptions, number][] = [
  ['Kyutai’s Python server', kyutaiPython, {}, 1],
  ['Kyutai’s moshi-backend', kyutaiRust, {}, 2],
  ['NVIDIA PersonaPlex', personaPlex, { voice: 'NATF2', prompt: 'You are patient.' }, 0],
  ['moshi-server Lm', moshiServerLm, {}, 2],
];

it('has the shape of an engine of @moshi/server', () => {
  expectTypeOf<RemoteEngine>().toExtend<Engine>();
  const engine: Engine = remoteEngine('localhost', { slots: 3, model: 'kyutai/moshiko' });
  expect(engine.info).toEqual({
    model: 'kyutai/moshiko',
    dialect: 'moshi',
    sampleRate: 24000,
    frameSamples: 1920,
    slots: 3,
    trained: true,
    features: ['say', 'interrupt', 'endTurn'],
    details: { remote: true },
  });
  expect(remoteEngine('localhost', { dialect: 'personaplex' }).info.dialect).toBe('personaplex');
  expect(remoteEngine('localhost', { extensions: false }).info.features).toBeUndefined();
  expect(remoteEngine('localhost', { dialect: 'moshi-server', forceSay: true }).info.features).toEqual(['say']);
  for (const slots of [0, 1.5, Number.NaN]) {
    expect(() => remoteEngine('localhost', { slots })).toThrow(expect.objectContaining({ code: 'bad-option' }));
  }
  expect(() => remoteEngine('ftp://localhost')).toThrow(expect.objectContaining({ code: 'bad-option' }));
});

describe.each(stock)('%s as an engine', (_, script, persona, delay) => {
  it('answers with whole frames in order, and all of its text', async () => {
    const { server, engine } = await engineFor(script());
    const { session, frames, text } = await opened(engine, persona);
    const pcm = speech(2.4);
    for (let at = 0; at < pcm.length; at += 1000) session.push(pcm.subarray(at, at + 1000));
    await expect.poll(() => frames.length).toBe(30 - delay);
    expect(frames.map(({ step }) => step)).toEqual(frames.map((_, i) => i));
    expect(frames.every((frame) => frame.pcm?.length === 1920 && frame.token === -1)).toBe(true);
    expect(envelopeCorrelation(pcm, concat(frames.map((frame) => frame.pcm!)))).toBeGreaterThan(0.9);
    expect(text()).toBe(' hello 😀!');
    expect(session.queued).toBe(0);
    expect(session.say ?? session.cancelSay ?? session.interrupt ?? session.endTurn).toBeUndefined();
    expect(server.violations).toEqual([]);
  });

  it('begins anew on a connection of its own, with nothing of the one before', async () => {
    const { server, engine } = await engineFor(script());
    const { session, frames, text } = await opened(engine, persona);
    const six = speech(0.48);
    session.push(six);
    await expect.poll(() => frames.length).toBe(6 - delay);
    session.push(new Float32Array(700));
    const reset = session.reset();
    session.push(six);
    frames.length = 0;
    await reset;
    await expect.poll(() => frames.length).toBe(6 - delay);
    expect(frames[0]?.step).toBe(0);
    expect(text()).toMatch(/^ hello/);
    expect(server.peers).toHaveLength(2);
    expect(server.peers[1]?.request.url).toBe(server.peers[0]?.request.url);
    await session.close();
    await expect.poll(() => server.peers.every(({ socket }) => socket.readyState === socket.CLOSED)).toBe(true);
    expect(server.violations).toEqual([]);
  });
});

describe('opening a remote engine', () => {
  it('asks for persona and sampling as the caller does', async () => {
    const { server, engine } = await engineFor(announcing([]), { headers: { authorization: 'Bearer k' } });
    await engine.open({ voice: 'NATM1', prompt: 'Be brief.', textTemperature: 0.5, seed: 7, sayOnly: true });
    const [peer] = server.peers;
    expect(Object.fromEntries(peer!.query)).toMatchObject({
      voice_prompt: 'NATM1.pt',
      text_prompt: 'Be brief.',
      text_temperature: '0.5',
      text_seed: '7',
      say_only: '1',
      extensions: '1',
    });
    expect(peer!.request.headers.authorization).toBe('Bearer k');
  });

  it('takes empty persona fields as none', async () => {
    const { server, engine } = await engineFor(announcing([]));
    await engine.open({ voice: '', prompt: '' });
    expect(server.peers[0]?.query.has('voice_prompt') || server.peers[0]?.query.has('text_prompt')).toBe(false);
  });

  it('is limited to its slots; a closed session gives its own back', async () => {
    const { engine } = await engineFor(announcing([]), { slots: 2 });
    const first = await engine.open();
    const second = engine.open();
    expect(await failure(engine.open())).toMatchObject({ code: 'ENGINE_FULL' });
    await (await second).close();
    await engine.open();
    await first.close();
    await engine.open();
  });

  it('says what the remote server says, without its address', async () => {
    const refuse = (code: number, text: string) =>
      engineFor(({ socket, send }) => {
        send(Uint8Array.of(5, ...Buffer.from(text)));
        socket.close(code, 'no');
      });
    const open = async (code: number, text: string) => failure((await refuse(code, text)).engine.open({ voice: 'x' }));
    expect(await open(1013, 'All 2 places are taken.')).toMatchObject({
      code: 'ENGINE_FULL',
      message: 'remote server: All 2 places are taken.',
    });
    expect(await open(1008, 'no voice x: there are a, b')).toMatchObject({
      code: 'ENGINE_BAD_OPTION',
      message: 'remote server: no voice x: there are a, b',
    });
    const failed = await open(1011, 'The engine failed: out of memory');
    expect(failed).toMatchObject({ code: 'ENGINE_FAILED', cause: { code: 'server' } });
    expect(failed.message).toContain('out of memory');
    const unreachable = await failure(remoteEngine('ws://127.0.0.1:1').open());
    expect(unreachable).toBeInstanceOf(RemoteEngineError);
    expect(unreachable).toMatchObject({ code: 'ENGINE_FAILED', message: expect.stringContaining('ECONNREFUSED') });
    expect(unreachable.message).not.toContain('127.0.0.1');
    const { engine } = await engineFor(announcing([]));
    expect(await failure(engine.open({ textTemperature: 99 }))).toMatchObject({ code: 'ENGINE_BAD_OPTION' });
  });

  it('of a PersonaPlex server that has no such voice names those it has', async () => {
    const { engine } = await engineFor(({ socket }) => socket.terminate(), { dialect: 'personaplex' });
    expect(await failure(engine.open({ voice: 'nobody.pt' }))).toMatchObject({
      code: 'ENGINE_BAD_OPTION',
      message: expect.stringMatching(/voice.*NATF0, .*VARM4/),
    });
    expect(await failure(engine.open({ voice: 'NATF3.pt' }))).toMatchObject({ code: 'ENGINE_FAILED' });
  });

  it.each(['../secret.pt', 'a/b', 'a\\b', '..', 'C:x', 'a\u0000b'])(
    'never sends the path %j as a voice',
    async (voice) => {
      const { server, engine } = await engineFor(announcing([]));
      expect(await failure(engine.open({ voice }))).toMatchObject({ code: 'ENGINE_BAD_OPTION' });
      expect(server.peers).toEqual([]);
    },
  );

  it('ends with the engine', async () => {
    const { server, engine } = await engineFor(() => {}, { slots: 2 });
    const opening = failure(engine.open());
    await expect.poll(() => server.peers.length).toBe(1);
    await engine.close();
    expect(await opening).toMatchObject({ code: 'ENGINE_FAILED' });
    expect(await failure(engine.open())).toMatchObject({
      code: 'ENGINE_FAILED',
      message: expect.stringMatching(/closed/),
    });
  });
});

describe('a remote session', () => {
  it('tells why it ends, after all that was heard, and not more than once', async () => {
    const [header, ...pages] = await opusPages(1);
    const { server, engine } = await engineFor(
      announcing([], async (peer) => {
        await peer.next();
        peer.send(...pageMessages([header!, pages[0]!]), Uint8Array.of(2, ...Buffer.from(' last')));
        peer.send(Uint8Array.of(5, ...Buffer.from('The engine failed: boom')));
        peer.socket.close(1011, 'engine error');
      }),
    );
    const { session, log, frames } = await opened(engine);
    session.push(new Float32Array(1920));
    await expect.poll(() => log.length).toBe(2);
    // One page is half a frame: what is missing is silence.
    expect(log).toEqual([
      'frame 0 last',
      expect.objectContaining({ message: 'remote server: The engine failed: boom' }),
    ]);
    expect(frames[0]?.pcm?.length).toBe(1920);
    expect(() => session.push(new Float32Array(1920))).toThrow('boom');
    await session.close();
    expect(server.peers).toHaveLength(1);
    expect(log).toHaveLength(2);
  });

  it('tells of a connection that just breaks, and of a normal end that nobody here asked for', async () => {
    const { server, engine } = await engineFor(announcing([]), { slots: 2 });
    const [one, two] = [await opened(engine), await opened(engine)];
    server.peers[0]?.socket.terminate();
    server.peers[1]?.socket.close(1000, 'step limit');
    await expect.poll(() => one.log.length + two.log.length).toBe(2);
    expect(one.log[0]).toMatchObject({ code: 'ENGINE_FAILED', message: expect.stringContaining('1006') });
    expect(two.log[0]).toMatchObject({ message: expect.stringContaining('1000, step limit') });
  });

  it('that has failed can be reset, on a new connection', async () => {
    const { server, engine } = await engineFor(kyutaiPython());
    const { session, log, frames } = await opened(engine);
    server.peers[0]?.socket.terminate();
    await expect.poll(() => log.length).toBe(1);
    await session.reset();
    session.push(speech(0.4));
    await expect.poll(() => frames.length).toBe(4);
    await server.close();
    expect(await failure(session.reset())).toMatchObject({ code: 'ENGINE_FAILED' });
  });

  it('is silent once it is closed, whatever the server still sends', async () => {
    const pages = await opusPages(2);
    const { server, engine } = await engineFor(announcing(['say', 'control', 'restarted']));
    const { session, log } = await opened(engine);
    session.say?.('Hello.');
    const closing = session.close();
    server.peers[0]?.send(...pageMessages(pages));
    await closing;
    await session.close();
    session.push(new Float32Array(1920));
    session.cancelSay?.();
    session.interrupt?.();
    await session.reset();
    expect(log).toEqual([]);
    expect(server.peers).toHaveLength(1);
  });

  it('does not leave a connection behind when it is closed while it is reset', async () => {
    const { server, engine } = await engineFor(kyutaiPython());
    const { session } = await opened(engine);
    const reset = session.reset().catch(() => {});
    await session.close();
    await reset;
    await expect.poll(() => server.peers.every(({ socket }) => socket.readyState === socket.CLOSED)).toBe(true);
  });

  it('stops waiting for a new connection when it is closed', async () => {
    const { server, engine } = await engineFor((peer) => {
      if (server.peers.length === 1) peer.send(handshake());
    });
    const { session } = await opened(engine);
    const reset = failure(session.reset());
    await expect.poll(() => server.peers.length).toBe(2);
    await session.close();
    expect(await reset).toMatchObject({ code: 'ENGINE_FAILED' });
    await expect.poll(() => server.peers[1]?.socket.readyState).toBe(3);
  });

  it('counts what the network does not take as queued', async () => {
    const { server, engine } = await engineFor(announcing([]), { opus: { bitrate: 510_000 }, idleTimeoutMs: 0 });
    const session = await engine.open();
    server.peers[0]?.socket.pause();
    const noise = Float32Array.from({ length: 19_200 }, (_, i) => Math.sin(i * i));
    for (let i = 0; i < 600 && session.queued < 50; i++) {
      session.push(noise);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(session.queued).toBeGreaterThanOrEqual(50);
    server.peers[0]?.socket.resume();
    await expect.poll(() => session.queued, { timeout: 20_000 }).toBe(0);
  });

  it('ends with a server that sends without being asked', async () => {
    const pages = await opusPages(100);
    const { engine } = await engineFor(
      announcing([], (peer) => {
        const [header, ...rest] = pageMessages(pages);
        peer.send(header!);
        for (let i = 0; i < 10; i++) peer.send(...rest);
      }),
    );
    const { log } = await opened(engine);
    await expect.poll(() => log.at(-1)).toMatchObject({ message: expect.stringContaining('far more') });
    expect(log.length).toBeLessThan(1000);
  });
});

it('removes listeners as any emitter', async () => {
  const { engine } = await engineFor(kyutaiPython());
  const session: RemoteEngineSession = await engine.open();
  const heard = vi.fn();
  session.on('frame', heard).off('frame', heard);
  const frames = new Promise((resolve) => session.on('frame', resolve));
  session.push(speech(0.4));
  await frames;
  expect(heard).not.toHaveBeenCalled();
});

import { concat } from '@moshi/protocol/audio';
import { createServer, type Engine, loopbackEngine, type Server, type ServerOptions } from '@moshi/server';
import { afterEach, describe, expect, it } from 'vitest';
import {
  connect,
  connectStream,
  listVoices,
  type MoshiError,
  type RemoteEngineOptions,
  remoteEngine,
  type Session,
} from '../src/index';
import { closeServers, scriptedServer } from './support/server';
import { envelopeCorrelation, speech } from './support/signal';
import { speakingEngine } from './support/speaking-engine';
import { kyutaiPython, personaPlex } from './support/stock-servers';

const servers: Server[] = [];
const bridges: Engine[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 100 })));
  await Promise.all(bridges.splice(0).map((engine) => engine.close()));
  await closeServers();
});

async function serve(engine: Engine, options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = await createServer({ engine, host: '127.0.0.1', port: 0, ...options });
  servers.push(server);
  return server;
}

/** A server whose engine is the one at this address. */
async function bridge(url: string, options: RemoteEngineOptions = {}): Promise<Server> {
  const engine = remoteEngine(url, options);
  bridges.push(engine);
  return serve(engine);
}

async function converse(url: string, pcm: Float32Array, options: Parameters<typeof connectStream>[2] = {}) {
  const audio: Float32Array[] = [];
  let text = '';
  for await (const event of connectStream(url, [pcm], options)) {
    if (event.type === 'audio') audio.push(event.pcm);
    else if (event.type === 'text') text += event.text;
  }
  return { reply: concat(audio), text };
}

const failure = (promise: Promise<unknown>): Promise<MoshiError> =>
  promise.then(
    () => expect.fail('it was no failure'),
    (error) => error,
  );

describe('a bridge', () => {
  it('to @moshi/server passes sound both ways', async () => {
    const remote = await serve(loopbackEngine());
    const { url } = await bridge(remote.url);
    const pcm = speech(3);
    const { reply } = await converse(url, pcm);
    expect(reply.length).toBe(Math.ceil(pcm.length / 1920) * 1920);
    expect(envelopeCorrelation(pcm, reply)).toBeGreaterThan(0.9);
    await expect.poll(() => remote.readiness.live).toBe(0);
  });

  it('to a stock server passes its text too', async () => {
    const remote = await scriptedServer(kyutaiPython());
    const { url } = await bridge(remote.url);
    expect((await converse(url, speech(2))).text).toBe(' hello 😀!');
    expect(remote.violations).toEqual([]);
  });

  it('to PersonaPlex passes the persona on', async () => {
    const remote = await scriptedServer(personaPlex());
    const { url } = await bridge(remote.url, { dialect: 'personaplex' });
    const { text } = await converse(url, speech(2), { voice: 'VARM2', prompt: 'You are brief.' });
    expect(text).toBe(' hello 😀!');
    expect(remote.peers[0]?.query.get('voice_prompt')).toBe('VARM2.pt');
    expect(remote.peers[0]?.query.get('text_prompt')).toBe('You are brief.');
    // Its server has no route for them.
    expect(await listVoices(url)).toHaveLength(18);
  });

  it('to a bridge is a bridge', async () => {
    const remote = await serve(speakingEngine().engine);
    const middle = await bridge(remote.url);
    const { url } = await bridge(middle.url);
    let said: Promise<unknown> | undefined;
    const onSession = (session: Session) => {
      said = session.say('Good to see you.');
    };
    const { text } = await converse(url, speech(2), { onSession });
    expect(text).toBe(' Good to see you.');
    expect(await said).toEqual({ text: 'Good to see you.', completed: true });
  });

  it('lets the remote model speak, and tells its words in time with their text', async () => {
    const { engine, log } = speakingEngine(['NATF0']);
    const remote = await serve(engine);
    const { url } = await bridge(remote.url);
    const told: string[] = [];
    let said: Promise<unknown>[] = [];
    const onSession = (session: Session) => {
      said = [session.say('One two.', { floor: 'wait' }), session.say('Three.')];
      said.push(session.say('a # b'));
      session.on('say-start', ({ id, text }) => told.push(`start ${id} ${text}`));
      session.on('say-word', ({ word }) => told.push(word));
      session.on('say-end', ({ id, completed }) => told.push(`end ${id} ${completed}`));
      session.on('text', ({ text }) => told.push(`text${text}`));
    };
    await converse(url, speech(2), { onSession });
    expect(await Promise.all(said)).toEqual([
      { text: 'One two.', completed: true },
      { text: 'Three.', completed: true },
      // What the remote engine cannot speak.
      { text: '', completed: false },
    ]);
    expect(log.filter((entry) => typeof entry === 'object' && entry && 'say' in entry)).toEqual([
      { say: 'One two.', floor: 'wait' },
      { say: 'Three.', floor: 'interrupt' },
    ]);
    expect(told.filter((entry) => !entry.startsWith('end 3'))).toEqual([
      'start 1 One two.',
      'One',
      'text One',
      'two.',
      'text two.',
      'end 1 true',
      'start 2 Three.',
      'Three.',
      'text Three.',
      'end 2 true',
    ]);
    await expect.poll(() => remote.readiness.live).toBe(0);
  });

  it('interrupts, ends turns and begins anew on the remote server', async () => {
    const { engine, log, opened } = speakingEngine();
    const remote = await serve(engine);
    const { url } = await bridge(remote.url);
    const session = await connect(url);
    const said = session.say('never heard');
    session.endTurn();
    session.interrupt();
    expect(await said).toMatchObject({ completed: false });
    await session.restart();
    expect(log.filter((entry) => typeof entry === 'string')).toEqual(
      expect.arrayContaining(['endTurn', 'interrupt', 'reset']),
    );
    const audio = new Promise((resolve) => session.once('audio', resolve));
    session.sendSilence(160);
    expect(await audio).toMatchObject({ pcm: expect.any(Float32Array) });
    await session.close();
    await expect.poll(() => opened.map(({ closed }) => closed)).toEqual([true]);
  });

  it('tells its clients why the remote server refuses them', async () => {
    const { engine } = speakingEngine(['ada', 'bob']);
    const remote = await serve(engine);
    const { url } = await bridge(remote.url);
    expect(await listVoices(url)).toEqual([{ name: 'ada' }, { name: 'bob' }]);
    const error = await failure(connect(url, { voice: 'nobody' }));
    expect(error).toMatchObject({ code: 'server', retryable: false });
    expect(error.message).toMatch(/no voice nobody.*ada, bob/);
    const locked = await serve(loopbackEngine(), { keys: ['right'] });
    const refused = await failure(connect((await bridge(locked.url)).url));
    expect(refused.message).toMatch(/401.*key/);
    expect(refused.message).not.toContain('127.0.0.1');
    const key = { headers: { authorization: 'Bearer right' } };
    await (await connect((await bridge(locked.url, key)).url)).close();
  });

  it('to a full server makes its clients wait until there is room', async () => {
    const remote = await serve(loopbackEngine({ slots: 1 }), { limits: { waiting: 0 } });
    const first = await connect(remote.url);
    const { url } = await bridge(remote.url);
    const second = connect(url, {
      on: { waiting: ({ position }) => position !== undefined && void first.close() },
    });
    await (await second).close();
  });

  it('ends the call with the reason when the remote server dies in it', async () => {
    const remote = await serve(loopbackEngine());
    const { url } = await bridge(remote.url);
    const session = await connect(url, { reconnect: false });
    session.sendSilence(400);
    await new Promise((resolve) => session.once('audio', resolve));
    const closed = new Promise((resolve) => session.once('closed', resolve));
    void remote.close({ graceMs: 100 });
    expect(await closed).toMatchObject({
      code: 1011,
      error: { cause: { code: 'server', message: expect.stringContaining('The server is shutting down.') } },
    });
  });

  it('hangs up on the remote server when its own client hangs up, or while it still waits for it', async () => {
    const remote = await scriptedServer((peer) => {
      if (remote.peers.length === 1) peer.send(Uint8Array.of(0));
    });
    const { url } = await bridge(remote.url, { slots: 2 });
    const session = await connect(url);
    await session.close();
    await expect.poll(() => remote.peers[0]?.socket.readyState).toBe(3);
    const controller = new AbortController();
    const waiting = failure(connect(url, { signal: controller.signal }));
    await expect.poll(() => remote.peers.length).toBe(2);
    controller.abort();
    await waiting;
    await Promise.all(bridges.splice(0).map((engine) => engine.close()));
    await expect.poll(() => remote.peers[1]?.socket.readyState).toBe(3);
  });
});

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { AudioOptions } from '@moshi/client';
import { type FakeAudio, fakeAudio, tone } from '@moshi/client/testing';
import { encodeMessage, type Message } from '@moshi/protocol';
import { createServer, loopbackEngine, type Server, type ServerOptions } from '@moshi/server';
import { effect } from '@preact/signals';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { FakeEngine } from '../../server/test/support/fake-engine';
import { type PageAddress, readAddress } from '../src/address';
import { Call } from '../src/state/call';
import { defaultSettings, type Settings } from '../src/state/settings';

const servers: Server[] = [];
const calls: Call[] = [];
afterEach(async () => {
  await Promise.all(calls.splice(0).map((call) => call.hangUp()));
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 50 })));
});

async function serve(options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = await createServer({ engine: loopbackEngine(), port: 0, page: false, ...options });
  servers.push(server);
  return server;
}

interface Caller {
  readonly call: Call;
  readonly sound: FakeAudio;
  readonly saved: Uint8Array[];
}

interface CallerOptions {
  readonly path?: string;
  readonly settings?: Partial<Settings>;
  readonly ask?: () => Promise<() => void>;
  readonly prepare?: () => AudioOptions;
  readonly address?: Partial<PageAddress>;
}

function caller(
  server: Pick<Server, 'url'>,
  { path = '/', settings = {}, ask, prepare, address }: CallerOptions = {},
): Caller {
  const sound = fakeAudio({ microphone: tone(440, 60) });
  const saved: Uint8Array[] = [];
  const call = new Call(
    { ...readAddress(server.url + path), ...address },
    () => ({ ...defaultSettings, ...settings }),
    {
      platform: sound,
      prepare: prepare ?? (() => ({ platform: sound })),
      askForMicrophone: ask ?? (async () => () => {}),
      save: (wav) => {
        saved.push(wav);
        return { url: 'blob:none', name: 'x.wav' };
      },
    },
  );
  calls.push(call);
  return { call, sound, saved };
}

/** Resolves once something holds that signals decide. */
function until(holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (!holds()) return;
      // Not before the effect has been made.
      queueMicrotask(() => {
        stop();
        resolve();
      });
    });
  });
}

describe('a call', () => {
  it('goes from a click to live and back', async () => {
    const server = await serve();
    const { call, sound } = caller(server);
    const phases: string[] = [];
    effect(() => void phases.push(call.phase.value.name));
    await call.start('voice');
    expect(phases.filter((name) => name !== 'waiting')).toEqual(['idle', 'asking', 'connecting', 'live']);
    expect([sound.openInputs, sound.openOutputs]).toEqual([1, 1]);
    await call.hangUp();
    expect(call.phase.value).toEqual({ name: 'idle' });
    expect(call.trouble.value).toBeUndefined();
    expect([sound.openInputs, sound.openOutputs]).toEqual([0, 0]);
  });

  it('takes no place at the server while the browser asks, and none when it is taken back', async () => {
    const server = await serve();
    let allow = (_: () => void) => {};
    let released = 0;
    const asked = new Promise<() => void>((resolve) => {
      allow = resolve;
    });
    const { call } = caller(server, { ask: () => asked });
    const started = call.start('voice');
    expect(call.phase.value.name).toBe('asking');
    expect(server.sessions.size).toBe(0);
    await call.hangUp();
    // The browser's question may stay for ever.
    await started;
    expect(call.phase.value.name).toBe('idle');
    expect(call.trouble.value).toBeUndefined();
    allow(() => released++);
    await asked;
    await Promise.resolve();
    expect([server.sessions.size, released]).toEqual([0, 1]);
  });

  it('says so where the browser makes no sound', async () => {
    const prepare = () => {
      throw new DOMException('too many contexts', 'NotSupportedError');
    };
    const { call } = caller(await serve(), { prepare });
    await call.start('voice');
    expect(call.phase.value.name).toBe('idle');
    expect(call.trouble.value).toMatchObject({ text: 'Too many contexts' });
  });

  it('that is ended before its sound is open ends without a word', async () => {
    let open!: () => void;
    const allowed = new Promise<void>((resolve) => {
      open = resolve;
    });
    const sound = fakeAudio();
    const openInput = sound.openInput.bind(sound);
    sound.openInput = async (options, sink) => {
      await allowed;
      return openInput(options, sink);
    };
    const { call } = caller(await serve(), { prepare: () => ({ platform: sound }) });
    const started = call.start('voice');
    await until(() => call.phase.value.name === 'live');
    const ended = call.hangUp();
    await until(() => call.phase.value.name === 'idle');
    open();
    await Promise.all([started, ended]);
    expect([call.phase.value.name, call.trouble.value]).toEqual(['idle', undefined]);
  });

  it('with another server begins without what the one before said of its machine', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    let connections = 0;
    server.on('connection', (socket) => {
      connections++;
      const send = (message: Message) => socket.send(encodeMessage(message));
      const event = (name: string, data: unknown) => send({ type: 'event', name, data });
      send({ type: 'metadata', data: { extensions: ['resume'] } });
      event('resumable', { token: 't', graceMs: 1000 });
      if (connections > 1) event('not-resumed', { reason: 'unknown' });
      send({ type: 'handshake' });
      if (connections > 1) return;
      event('behind', { ms: 2400 });
      socket.once('message', () => socket.terminate());
    });
    const { port } = server.address() as AddressInfo;
    const { call, sound } = caller({ url: `http://127.0.0.1:${port}` });
    await call.start('voice');
    await until(() => call.behindMs.value === 2400);
    const over = until(() => call.newConversation.value !== undefined);
    let waiting = true;
    void over.then(() => {
      waiting = false;
    });
    while (waiting) await sound.advance(40);
    expect([call.newConversation.value, call.behindMs.value]).toEqual(['unknown', 0]);
    await call.hangUp();
    server.close();
  });

  it('says what to do when the microphone is refused, and goes on without', async () => {
    const server = await serve();
    const ask = () => Promise.reject(new DOMException('', 'NotAllowedError'));
    const { call, sound } = caller(server, { ask });
    sound.deny();
    await call.start('voice');
    expect(call.phase.value.name).toBe('idle');
    expect(call.trouble.value).toMatchObject({ code: 'permission-denied', title: 'The microphone was refused' });
    await call.start('text');
    expect([call.phase.value.name, call.mode.value, call.trouble.value]).toEqual(['live', 'text', undefined]);
    await call.useMicrophone();
    expect(call.trouble.value).toMatchObject({ code: 'permission-denied' });
    expect(call.mode.value).toBe('text');
    sound.allow();
    await call.useMicrophone();
    expect([call.mode.value, call.trouble.value]).toEqual(['voice', undefined]);
  });

  it('tells the place in line, and can be taken back there', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }) });
    const first = caller(server);
    await first.call.start('voice');
    const second = caller(server);
    const started = second.call.start('voice');
    await until(() => second.call.phase.value.name === 'waiting');
    await until(() => (second.call.phase.value as { position?: number }).position === 1);
    await second.call.hangUp();
    await started;
    expect(second.call.phase.value.name).toBe('idle');
    expect(second.call.trouble.value).toBeUndefined();
  });

  it('opens with the persona and the sampling that were chosen, and with nothing else', async () => {
    const engine = new FakeEngine({ voices: ['NATF0'] });
    const server = await serve({ engine });
    const { call } = caller(server, {
      settings: { voice: 'NATF0', prompt: 'You are kind.', sampling: { textTopK: 9 } },
    });
    await call.look();
    expect(call.voices.value).toEqual(['NATF0']);
    expect(call.server.value).toMatchObject({ model: 'fake/<model>', dialect: 'moshi', trained: false, slots: 1 });
    await call.start('voice');
    expect(engine.asked).toEqual([{ voice: expect.stringMatching(/^NATF0/), prompt: 'You are kind.', textTopK: 9 }]);
  });

  it('lights captions up as they are heard, and no sooner', async () => {
    const engine = new FakeEngine({ script: (step, pcm) => ({ pcm, text: step < 5 ? ` w${step}` : null }) });
    const server = await serve({ engine });
    const { call, sound } = caller(server);
    await call.start('voice');
    const words = () => call.captions.value.lines.flatMap((line) => (line.who === 'model' ? line.words : []));
    while (words().length < 5) await sound.advance(40);
    const known = words().length;
    const heard = words().filter(({ state }) => state === 'heard').length;
    expect(known).toBe(5);
    expect(heard).toBeLessThan(5);
    while (words().some(({ state }) => state === 'coming')) await sound.advance(40);
    expect(words().every(({ state }) => state === 'heard')).toBe(true);
  });

  it('lets the model say what is typed, from the first text on', async () => {
    const engine = new FakeEngine({ speaks: true });
    const server = await serve({ engine });
    const { call, sound } = caller(server, { path: '/test-voice' });
    expect(call.mode.value).toBe('text');
    await call.start('text', 'Hello there');
    expect(call.canSay.value).toBe(true);
    const spoken = () =>
      call.captions.value.lines.map((line) =>
        line.who === 'model' ? line.words.map(({ text }) => text).join(' ') : line.text,
      );
    while (!spoken().includes('Hello there', 1)) await sound.advance(40);
    expect(spoken()).toEqual(['Hello there', 'Hello there']);
  });

  it('knows when a server cannot be given texts', async () => {
    const { call } = caller(await serve());
    await call.start('text');
    expect(call.canSay.value).toBe(false);
  });

  it('mutes before and after', async () => {
    const engine = loopbackEngine();
    const server = await serve({ engine });
    const { call } = caller(server);
    await call.start('voice');
    call.setMuted(true);
    expect(call.muted.value).toBe(true);
    await call.hangUp();
    expect(call.muted.value).toBe(false);
  });

  it('asks for a key where the server wants one, and gets in with it', async () => {
    const server = await serve({ keys: ['k'] });
    const { call } = caller(server);
    await call.look();
    expect(call.keyNeeded.value).toBe(true);
    await call.useKey('wrong');
    expect(call.keyNeeded.value).toBe(true);
    await call.useKey('k');
    expect(call.keyNeeded.value).toBe(false);
    await call.start('voice');
    expect(call.phase.value.name).toBe('live');
  });

  it('asks for no key where the voices cannot be listed for another reason', async () => {
    const engine = new FakeEngine({ voices: ['NATF0'] });
    Object.assign(engine, { voices: () => Promise.reject(new Error('the disk is gone')) });
    const { call } = caller(await serve({ engine }));
    await call.look();
    expect([call.voices.value, call.keyNeeded.value]).toEqual([[], false]);
  });

  it('keeps the key from a foreign server', async () => {
    const server = await serve({ keys: ['k'] });
    const foreign = caller(server, { address: { foreignHost: 'elsewhere', key: 'k' } });
    await foreign.call.start('voice');
    expect(foreign.call.phase.value.name).toBe('idle');
    expect(foreign.call.trouble.value).toBeDefined();
  });

  it('ends with words when the server goes', async () => {
    const server = await serve();
    const { call, sound } = caller(server);
    await call.start('voice');
    for (const session of server.sessions) session.close(1008, 'enough', 'That is enough.');
    await until(() => call.phase.value.name === 'idle');
    expect(call.trouble.value).toMatchObject({ text: expect.stringContaining('That is enough') });
    expect([sound.openInputs, sound.openOutputs]).toEqual([0, 0]);
  });

  it('says so when nobody answers', async () => {
    const server = await serve();
    const { call } = caller(server);
    await server.close();
    await call.start('voice');
    expect(call.phase.value.name).toBe('idle');
    expect(call.trouble.value).toMatchObject({ code: 'unreachable' });
  });

  it('goes on with silence, and says so, when the microphone goes away', async () => {
    const { call, sound } = caller(await serve());
    await call.start('voice');
    for (const { id } of (await sound.devices()).inputs) sound.unplug(id);
    await until(() => call.trouble.value !== undefined);
    expect(call.trouble.value!.code).toMatch(/device-lost|no-device/);
    expect(call.phase.value.name).toBe('live');
  });
});

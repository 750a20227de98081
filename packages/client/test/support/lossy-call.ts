import { concat } from '@moshi/protocol/audio';
import { createServer, type Server, type ServerLimits, type ServerSession } from '@moshi/server';
import { expect } from 'vitest';
import { type Chaos, chaosProxy } from '../../../e2e/support/chaos-proxy';
import { FakeEngine, type FakeEngineOptions } from '../../../server/test/support/fake-engine';
import { type ConnectOptions, connect, type SessionEvents } from '../../src/index';

/** Asks again until it holds, for as long as a busy machine may need. */
export const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 20_000 });

const open: { close(): Promise<unknown> }[] = [];

/** Closes what the calls of the test that just ran have opened. */
export async function hangUp(): Promise<void> {
  for (const one of open.splice(0).reverse()) await one.close();
}

/** An engine that says one word a frame, `w0 w1 w2 …`, and says back what it hears. */
export const countingEngine = (options: FakeEngineOptions = {}) =>
  new FakeEngine({ script: (step, pcm) => ({ pcm, text: ` w${step}` }), ...options });

/** The words of so many frames. */
export const words = (frames: number) => Array.from({ length: frames }, (_, step) => ` w${step}`).join('');

/** A server behind a network with faults. */
export async function lossyServer(engine = countingEngine(), limits: Partial<ServerLimits> = {}) {
  const server = await createServer({ engine, port: 0, limits });
  open.push({ close: () => server.close({ graceMs: 50 }) });
  const sessions: ServerSession[] = [];
  server.on('session', (session) => sessions.push(session));
  const chaos = await chaosProxy({ port: server.address!.port });
  open.push(chaos);
  return { server, chaos, sessions };
}

/** What a session tells, in order, of these events. */
const noted = ['reconnecting', 'resumed', 'new-conversation', 'error', 'closed', 'dropped'] as const;

/** A call that comes back at once, and everything about it. */
export async function call(to: Chaos | Server, options: ConnectOptions = {}) {
  const session = await connect(to.url, { reconnect: { delaysMs: [0, 20] }, maxBufferedMs: 10_000, ...options });
  open.push(session);
  const log: [name: string, event: unknown][] = [];
  const sound: { pcm: Float32Array; time: number }[] = [];
  let text = '';
  for (const name of noted) {
    session.on(name, (event: Parameters<SessionEvents[typeof name]>[0]) => log.push([name, event]));
  }
  session.on('audio', (event) => sound.push(event));
  session.on('text', (event) => {
    text += event.text;
  });
  return {
    session,
    log,
    sound,
    names: () => log.map(([name]) => name),
    text: () => text,
    heard: () => concat(sound.map(({ pcm }) => pcm)),
    /** Says these frames as fast as they go, while there is a connection; `at` is called before each one. */
    async say(pcm: Float32Array, at: (frame: number) => void = () => {}) {
      for (let frame = 0; frame * 1920 < pcm.length; frame++) {
        at(frame);
        session.sendAudio(pcm.subarray(frame * 1920, (frame + 1) * 1920));
        await new Promise((resolve) => setTimeout(resolve, 2));
        while (session.state.status !== 'ready') await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
  };
}

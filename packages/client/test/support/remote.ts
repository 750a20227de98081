import { expect } from 'vitest';
import {
  type RemoteEngine,
  type RemoteEngineError,
  type RemoteEngineOptions,
  type RemoteFrame,
  type RemoteSessionOptions,
  remoteEngine,
} from '../../src/index';
import { closeServers, type Peer, type Script, scriptedServer } from './server';
import { handshake, metadata } from './wire';

const engines: RemoteEngine[] = [];

/** Closes the engines and servers of the test that just ran. */
export async function closeEngines(): Promise<void> {
  await Promise.all(engines.splice(0).map((engine) => engine.close()));
  await closeServers();
}

/** A remote engine and the scripted server behind it. */
export async function engineFor(script: Script, options: RemoteEngineOptions = {}) {
  const server = await scriptedServer(script);
  const engine = remoteEngine(server.url, options);
  engines.push(engine);
  return { server, engine };
}

/** Opens a session and notes everything it tells. */
export async function opened(engine: RemoteEngine, options?: RemoteSessionOptions) {
  const session = await engine.open(options);
  const log: unknown[] = [];
  const frames: RemoteFrame[] = [];
  session.on('frame', (frame) => {
    frames.push(frame);
    log.push(`frame ${frame.step}${frame.text ?? ''}`);
  });
  session.on('say', ({ type, id, text, completed }) =>
    log.push(`${type} ${id} ${text}${type === 'end' ? ` ${completed}` : ''}`),
  );
  session.on('error', (error) => log.push(error));
  return { session, log, frames, text: () => frames.map((frame) => frame.text ?? '').join('') };
}

/** What a promise is rejected with. */
export const failure = (promise: Promise<unknown>): Promise<RemoteEngineError> =>
  promise.then(
    () => expect.fail('it was no failure'),
    (error) => error,
  );

/** An @moshi/server with these extensions whose next moves are the test's. */
export function announcing(extensions: string[], play: (peer: Peer) => void | Promise<void> = () => {}): Script {
  return (peer) => {
    peer.send(metadata({ extensions }), handshake());
    return play(peer);
  };
}

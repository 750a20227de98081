import { createServer, type Server, type ServerOptions, type ServerSession } from '@moshi/server';
import { afterEach } from 'vitest';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 50 })));
});

/** A server on a free port of this machine, closed after the test; a lost connection ends its conversation unless `resumeMs` is given. */
export async function serve(options: ServerOptions): Promise<Server> {
  const server = await createServer({
    port: options.server ? undefined : 0,
    ...options,
    limits: { resumeMs: 0, ...options.limits },
  });
  servers.push(server);
  return server;
}

/** Resolves with the arguments of the next event. */
export function event<T>(
  emitter: { once(name: never, listener: (value: T) => void): unknown },
  name: string,
): Promise<T> {
  return new Promise((resolve) =>
    (emitter.once as (name: string, listener: (value: T) => void) => unknown).call(emitter, name, resolve),
  );
}

/** The next session of a server. */
export function nextSession(server: Server): Promise<ServerSession> {
  return new Promise((resolve) => server.once('session', resolve));
}

/** Resolves when a session is in the state of this name. */
export function state(session: ServerSession, name: ServerSession['state']['name']): Promise<void> {
  if (session.state.name === name) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (session.state.name !== name) return;
      session.off('state', look);
      resolve();
    };
    session.on('state', look);
  });
}

/** Turns of the event loop until something holds; for what has no event. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

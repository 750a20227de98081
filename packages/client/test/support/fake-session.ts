import { expect } from 'vitest';
import { type ConnectOptions, connect, type SessionEvents } from '../../src/index';
import { FakeTransport } from './fake-transport';

const logged = [
  ...(['message', 'text', 'audio', 'metadata', 'error', 'state', 'dropped'] as const),
  ...(['say-start', 'say-word', 'say-end', 'closed'] as const),
];

/** A session whose server is the test, ready; `announce` are the extensions of its server, `log` all events from then on. */
export async function fakeSession(options: ConnectOptions = {}, announce?: string[]) {
  const transport = new FakeTransport();
  const connecting = connect('fake', { transport, ...options });
  transport.accept();
  if (announce) transport.receive({ type: 'metadata', data: { extensions: announce } });
  transport.receive({ type: 'handshake' });
  const session = await connecting;
  const log: [string, unknown][] = [];
  for (const name of logged) {
    session.on(name, (event: Parameters<SessionEvents[typeof name]>[0]) => log.push([name, event]));
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(log.splice(0).at(-1)).toEqual(['message', { type: 'handshake' }]);
  return { transport, session, log, names: () => log.map(([name]) => name) };
}

import { vi } from 'vitest';
import { type ConnectOptions, connect, type Session, type SessionEvents } from '../../src/index';
import { FakeTransport } from './fake-transport';

/** How a connection ends that is lost. */
export const LOST = { code: 1006, clean: false };

/** Waits, without any timer's help, until a connection is in use or given up. */
export async function settled(session: Session): Promise<void> {
  while (session.state.status !== 'ready' && session.state.status !== 'closed') {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A session whose every connection is a transport of the test's, as is the clock from here on; the first is ready. */
export async function roaming(options: ConnectOptions = {}, metadata?: unknown, transports: FakeTransport[] = []) {
  const connecting = connect('fake', {
    transport: () => {
      const transport = new FakeTransport();
      transports.push(transport);
      return transport;
    },
    ...options,
  });
  transports[0]!.accept();
  if (metadata) transports[0]!.receive({ type: 'metadata', data: metadata });
  if (metadata) offer(transports[0]!, 'first');
  transports[0]!.receive({ type: 'handshake' });
  const session = await connecting;
  await new Promise<void>((resolve) => session.on('message', ({ type }) => type === 'handshake' && resolve()));
  const log: [name: string, event: unknown][] = [];
  for (const name of ['reconnecting', 'resumed', 'new-conversation', 'online', 'offline', 'error', 'closed'] as const) {
    session.on(name, (event?: Parameters<SessionEvents[typeof name]>[0]) => log.push([name, event]));
  }
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  return { session, transports, log, names: () => log.map(([name]) => name) };
}

const offer = (transport: FakeTransport, token: string) =>
  transport.receive({ type: 'event', name: 'resumable', data: { token, graceMs: 15_000 } });

/** The server takes the conversation up again. */
export async function takeUp(session: Session, transport: FakeTransport, notice: object): Promise<void> {
  transport.accept();
  transport.receive({ type: 'metadata', data: { extensions: ['resume'] } });
  transport.receive({ type: 'event', name: 'resumed', data: notice });
  offer(transport, 'next');
  transport.receive({ type: 'handshake' });
  await settled(session);
}

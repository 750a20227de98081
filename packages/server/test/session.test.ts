import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { closeReason } from '../src/session/refuse-socket';
import { Client } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve } from './support/fixture';

describe('a session in the hands of the host', () => {
  it('can be closed with a word to the client', async () => {
    const server = await serve({ engine: loopbackEngine() });
    const started = nextSession(server);
    const client = await Client.ready(server);
    const session = await started;
    expect([...server.sessions]).toEqual([session]);
    session.close(4001, 'lunch', 'Back at two.');
    expect(session.state).toEqual({ name: 'closing', code: 4001, reason: 'lunch' });
    session.close(4002, 'again');
    expect(await client.next('error')).toEqual({ type: 'error', message: 'Back at two.' });
    expect(await client.closed).toEqual({ code: 4001, reason: 'lunch' });
  });

  it.each(['waiting', 'prompting', 'live'] as const)(
    'can be closed by a listener the moment it is %s',
    async (name) => {
      const engine = new FakeEngine();
      const server = await serve({ engine });
      server.once('session', (session) => {
        const close = () => session.state.name === name && session.close(4000, name);
        session.on('state', close);
        close();
      });
      const client = await Client.open(server);
      expect(await client.closed).toEqual({ code: 4000, reason: name });
      const next = await Client.ready(server);
      expect(engine.active).toBe(1);
      await next.close();
    },
  );

  it('may give a reason of any length', () => {
    expect(closeReason('short')).toBe('short');
    expect(closeReason('x'.repeat(123))).toBe('x'.repeat(123));
    for (const reason of ['x'.repeat(124), '€'.repeat(99), '😀'.repeat(40)]) {
      const cut = closeReason(reason);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(123);
      expect(Buffer.byteLength(cut)).toBeGreaterThan(115);
      expect(reason.startsWith(cut.slice(0, -1))).toBe(true);
      expect(cut.endsWith('…')).toBe(true);
    }
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect, defaultReconnectPolicy, MoshiError, type NetworkListener, type NetworkMonitor } from '../src/index';
import { FakeTransport } from './support/fake-transport';
import { LOST, roaming, settled } from './support/roaming';

beforeEach(() => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

class FakeNetwork implements NetworkMonitor {
  online = true;
  listener: NetworkListener | undefined;
  watch(listener: NetworkListener): () => void {
    this.listener = listener;
    return () => {
      this.listener = undefined;
    };
  }
  set(online: boolean): void {
    this.online = online;
    this.listener?.[online ? 'online' : 'offline']();
  }
}

describe('the default policy', () => {
  const context = { elapsedMs: 0, error: new MoshiError('closed', 'lost') };

  it('waits longer and longer, 30 % more or less, and gives up after a minute', () => {
    const delays = (policy = defaultReconnectPolicy()) =>
      Array.from({ length: 8 }, (_, attempt) => policy.nextDelayMs({ ...context, attempt }));
    expect(delays()).toEqual([0, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
    vi.mocked(Math.random).mockReturnValue(0);
    expect(delays()[1]).toBeCloseTo(350);
    vi.mocked(Math.random).mockReturnValue(1);
    expect(delays()[1]).toBeCloseTo(650);
    const { nextDelayMs } = defaultReconnectPolicy();
    expect(nextDelayMs({ ...context, attempt: 3, elapsedMs: 59_999 })).not.toBeNull();
    expect(nextDelayMs({ ...context, attempt: 3, elapsedMs: 60_000 })).toBeNull();
  });

  it.each([{ delaysMs: [] }, { delaysMs: [-1] }, { delaysMs: 500 as never }, { maxElapsedMs: Number.NaN }])(
    'refuses %j',
    async (reconnect) => {
      await expect(connect('fake', { reconnect })).rejects.toMatchObject({ code: 'bad-option' });
    },
  );
});

describe('a lost connection', () => {
  it('is tried again as the policy says, which is told everything', async () => {
    const nextDelayMs = vi.fn(({ attempt }) => (attempt < 2 ? 100 : null));
    const { session, transports, log } = await roaming({ reconnect: { nextDelayMs } }, { extensions: [] });
    transports[0]!.hangUp(LOST);
    expect(session.state).toMatchObject({ status: 'reconnecting', attempt: 0, error: { code: 'closed' } });
    expect(log).toMatchObject([['reconnecting', { attempt: 0, delayMs: 100 }]]);
    vi.advanceTimersByTime(99);
    expect(transports).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(transports).toHaveLength(2);
    vi.advanceTimersByTime(50);
    transports[1]!.hangUp({ ...LOST, error: new Error('no route') });
    vi.advanceTimersByTime(100);
    transports[2]!.hangUp(LOST);
    expect(nextDelayMs.mock.calls.map(([context]) => context)).toMatchObject([
      { attempt: 0, elapsedMs: 0, error: { code: 'closed' }, graceMs: 15_000 },
      { attempt: 1, elapsedMs: 150, error: { code: 'unreachable' } },
      { attempt: 2, elapsedMs: 250, error: { code: 'unreachable' } },
    ]);
    // Given up: the session ends with what broke it.
    expect(log.slice(-2)).toMatchObject([
      ['error', { code: 'closed' }],
      ['closed', { code: 1006, error: { code: 'closed' } }],
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is the default one’s to come back from, where the option only says yes', async () => {
    const { session, transports } = await roaming({ reconnect: true });
    transports[0]!.hangUp(LOST);
    expect(session.state.status).toBe('reconnecting');
  });

  it.each([undefined, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 40])(
    'is given up when the policy says %s: a timer would take it for at once, again and again',
    async (delay) => {
      const { session, transports } = await roaming({ reconnect: { nextDelayMs: () => delay as number } });
      transports[0]!.hangUp(LOST);
      expect(session.state).toMatchObject({ status: 'closed', error: { code: 'closed' } });
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it('is told of no more once a listener has closed the session', async () => {
    const { session, transports, names } = await roaming();
    session.on('state', ({ status }) => status === 'reconnecting' && void session.close());
    transports[0]!.hangUp(LOST);
    expect(names()).toEqual(['closed']);
    vi.useRealTimers();
    const waiting = await roaming();
    const told: unknown[] = [];
    waiting.session.on('state', ({ status }) => status === 'waiting' && void waiting.session.close());
    waiting.session.on('waiting', (event) => told.push(event));
    waiting.transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    waiting.transports[1]!.accept();
    expect(waiting.names()).toEqual(['reconnecting', 'closed']);
    expect(told).toEqual([]);
  });

  it('is the end when no other can be made', async () => {
    let made = 0;
    const first = new FakeTransport();
    const { log } = await roaming(
      {
        transport: () => {
          if (made++ > 0) throw new TypeError('no sockets left');
          return first;
        },
      },
      undefined,
      [first],
    );
    first.hangUp(LOST);
    vi.advanceTimersByTime(1);
    expect(log.at(-1)).toMatchObject([
      'closed',
      { error: { code: 'unreachable', cause: { message: 'no sockets left' } } },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    [1000, true],
    [1008, true],
    [1009, true],
    [1005, true],
  ])('is none when the server ends it with %d', async (code, clean) => {
    const { session, transports } = await roaming();
    transports[0]!.hangUp({ code, clean });
    expect(session.state.status).toBe('closed');
  });

  it.each([1001, 1006, 1011, 1012, 1013])('is one when it ends with %d', async (code) => {
    const { session, transports } = await roaming();
    transports[0]!.hangUp({ code, clean: code !== 1006 });
    expect(session.state.status).toBe('reconnecting');
  });

  it('is not tried again when the server refuses for good', async () => {
    const { transports, log } = await roaming();
    transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    transports[1]!.hangUp({ ...LOST, refused: { status: 401, text: 'a key is needed' } });
    expect(log.at(-1)).toMatchObject(['closed', { error: { code: 'refused' } }]);
  });

  it('stays lost without a policy, with one transport, or when this side closes meanwhile', async () => {
    const without = await roaming({ reconnect: false });
    without.transports[0]!.hangUp(LOST);
    expect(without.names()).toEqual(['error', 'closed']);
    vi.useRealTimers();
    const one = new FakeTransport();
    const connecting = connect('fake', { transport: one });
    one.shakeHands();
    const session = await connecting;
    const closed = new Promise((resolve) => session.once('closed', resolve));
    one.hangUp(LOST);
    expect(await closed).toMatchObject({ code: 1006 });
    const closing = await roaming();
    closing.transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    closing.transports[1]!.accept();
    await closing.session.close();
    expect(closing.transports[1]!.ended).toEqual(['close 1000', 'terminate']);
    expect(closing.log.at(-1)).toEqual(['closed', { code: 1006, reason: '', clean: false }]);
    closing.transports[1]!.receive({ type: 'handshake' });
    expect(closing.session.state.status).toBe('closed');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is not tried for ever with a server that lets in and then fails', async () => {
    const { session, transports, log } = await roaming({ reconnect: { delaysMs: [10, 20], maxElapsedMs: 60 } });
    transports[0]!.receive({ type: 'text', text: 'hello' });
    transports[0]!.hangUp({ code: 1011 });
    for (let i = 1; session.state.status !== 'closed'; i++) {
      vi.advanceTimersByTime(20);
      transports[i]!.accept();
      transports[i]!.receive({ type: 'handshake' });
      transports[i]!.receive({ type: 'error', message: 'The engine failed.' });
      await settled(session);
      transports[i]!.hangUp({ code: 1011 });
      vi.advanceTimersByTime(1);
    }
    const attempts = log.flatMap(([name, event]) => (name === 'reconnecting' ? [event] : []));
    expect(attempts).toMatchObject([{ attempt: 0 }, { attempt: 1 }, { attempt: 2 }]);
  });

  it('gives way to another attempt when nobody answers', async () => {
    const { transports, log } = await roaming();
    transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    vi.advanceTimersByTime(10_000);
    expect(log.at(-1)).toMatchObject(['reconnecting', { attempt: 1, error: { code: 'handshake-timeout' } }]);
    vi.advanceTimersByTime(500);
    transports[2]!.accept();
    // A stock server may serve somebody else first.
    vi.advanceTimersByTime(60_000);
    expect(log.at(-1)).toMatchObject(['reconnecting', { attempt: 1 }]);
  });

  it('never speaks again', async () => {
    const { session, transports, log } = await roaming();
    transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(1);
    transports[1]!.accept();
    transports[1]!.receive({ type: 'handshake' });
    await settled(session);
    const heard: unknown[] = [];
    session.on('message', (message) => heard.push(message));
    vi.advanceTimersByTime(1);
    expect(heard).toEqual([{ type: 'handshake' }]);
    const noted = log.length;
    transports[0]!.receive({ type: 'text', text: 'from beyond' });
    transports[0]!.hangUp(LOST);
    expect(heard).toHaveLength(1);
    expect(log).toHaveLength(noted);
    expect(session.state).toEqual({ status: 'ready' });
    transports[1]!.hangUp();
  });
});

describe('without a network', () => {
  it('nothing is tried and nothing counts; it begins anew the moment there is one', async () => {
    const network = new FakeNetwork();
    const { transports, log, names } = await roaming({ network });
    network.set(false);
    transports[0]!.hangUp(LOST);
    vi.advanceTimersByTime(300_000);
    expect(transports).toHaveLength(1);
    network.set(true);
    expect(transports).toHaveLength(2);
    transports[1]!.hangUp(LOST);
    expect(log.at(-1)).toMatchObject(['reconnecting', { attempt: 1 }]);
    expect(names()).toEqual(['offline', 'reconnecting', 'online', 'reconnecting']);
    vi.advanceTimersByTime(500);
    network.set(false);
    transports[2]!.hangUp(LOST);
    // It failed for want of a network.
    expect(log.at(-1)).toMatchObject(['reconnecting', { attempt: 1 }]);
  });

  it('is not waited for by who looks at the page again, and what hangs is begun anew', async () => {
    const network = new FakeNetwork();
    const { session, transports } = await roaming({ network, reconnect: { delaysMs: [60_000] } });
    transports[0]!.hangUp(LOST);
    network.listener!.visible();
    expect(transports).toHaveLength(2);
    network.listener!.online();
    expect(transports).toHaveLength(3);
    expect(transports[1]!.ended).toEqual(['terminate']);
    await session.close();
    expect(network.listener).toBeUndefined();
  });
});

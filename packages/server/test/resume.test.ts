import type { Server, ServerLimits } from '@moshi/server';
import { afterEach, describe, expect, it } from 'vitest';
import { BehindWatch } from '../src/session/behind-watch';
import { Replay } from '../src/session/replay';
import { Resumption } from '../src/session/resumption';
import { Client, oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve, state, until } from './support/fixture';
import { speech } from './support/signals';

const wordy = (options = {}) => new FakeEngine({ script: (step, pcm) => ({ pcm, text: ` w${step}` }), ...options });
const open = new Set<Client>();
afterEach(() => {
  for (const client of open) client.socket.terminate();
  open.clear();
});

const keeping = (limits: Partial<ServerLimits> = {}, engine = wordy()) =>
  serve({ engine, limits: { resumeMs: 60_000, ...limits } });

async function connected(server: Server, query = '', options = {}): Promise<Client> {
  const client = await Client.open(server, `?extensions=1${query}`, options);
  open.add(client);
  return client;
}

async function ready(server: Server, query = '', options = {}): Promise<Client> {
  const client = await connected(server, query, options);
  await client.next('handshake');
  return client;
}

const events = (client: Client) => client.of('event').map(({ name, data }) => [name, data]);
const token = (client: Client) =>
  (client.of('event').find(({ name }) => name === 'resumable')!.data as { token: string }).token;
const back = (client: Client, received: number) => `&resume=${token(client)}&received=${received}`;
/** Messages a client has received after the handshake. */
const counted = ({ messages }: Client) => messages.length - 1 - messages.findIndex(({ type }) => type === 'handshake');
const text = (...clients: Client[]) =>
  clients.flatMap((client) => client.of('text').map((piece) => piece.text)).join('');

/** A client that has spoken so many frames and heard all answers. */
async function talked(server: Server, frames: number): Promise<Client> {
  const client = await ready(server);
  for (const page of await oggOpus(speech(frames))) client.audio(page);
  await client.count('text', frames);
  return client;
}

describe('a client with extensions', () => {
  it('gets a token before the handshake, and comes back with it to what it missed', async () => {
    const server = await keeping();
    const started = nextSession(server);
    const client = await talked(server, 4);
    const session = await started;
    expect(client.messages.slice(0, 3)).toMatchObject([
      { type: 'metadata', data: { extensions: expect.arrayContaining(['resume']) } },
      { type: 'event', name: 'resumable', data: { token: expect.stringMatching(/^[\w-]{43}$/), graceMs: 60_000 } },
      { type: 'handshake' },
    ]);
    client.socket.terminate();
    await state(session, 'detached');
    expect(session.state).toMatchObject({ until: expect.any(Number) });
    expect(server.readiness).toMatchObject({ live: 1 });
    const again = await ready(server, back(client, 3));
    const missed = counted(client) - 3;
    await until(() => counted(again) === missed);
    expect(again.messages.slice(0, 4)).toMatchObject([
      { type: 'metadata' },
      { name: 'resumed', data: { heard: 4 * 1920, next: 4, replayed: missed, taken: 0 } },
      { name: 'resumable', data: { token: expect.not.stringMatching(token(client)) } },
      { type: 'handshake' },
    ]);
    // Bit for bit what the first socket brought.
    expect(again.raw.slice(4)).toEqual(client.raw.slice(-missed));
    expect(session.state.name).toBe('live');
    expect(server.sessions.size).toBe(1);
  });

  it('may come back before its old socket is known to be dead, which is ended then', async () => {
    const server = await keeping();
    const client = await talked(server, 3);
    const again = await ready(server, back(client, counted(client)));
    expect((await client.closed).code).toBe(1006);
    for (const page of await oggOpus(speech(2))) again.audio(page);
    await again.count('text', 2);
    expect(text(client, again)).toBe(' w0 w1 w2 w3 w4');
  });

  it('is not caught up with by the time it was given', async () => {
    const server = await keeping({ resumeMs: 1000 });
    const started = nextSession(server);
    const client = await talked(server, 1);
    client.socket.terminate();
    await state(await started, 'detached');
    const again = await ready(server, back(client, 2));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    for (const page of await oggOpus(speech(2))) again.audio(page);
    await again.count('text', 2);
    expect(server.sessions.size).toBe(1);
  });

  it('counts for its address only once', async () => {
    const server = await keeping({ connectionsPerAddress: 1 });
    const client = await talked(server, 1);
    await ready(server, back(client, 2));
    const other = await connected(server);
    expect(await other.closed).toMatchObject({ code: 1013, reason: 'too many connections' });
  });

  it('counts for its address while it is away, and whatever it asks for when it comes back', async () => {
    const server = await keeping({ connectionsPerAddress: 1 }, wordy({ slots: 3 }));
    const started = nextSession(server);
    const client = await talked(server, 1);
    // Not the way back, as that takes extensions: a conversation more.
    const more = await Client.open(server, `?${back(client, 2).slice(1)}`);
    open.add(more);
    expect(await more.closed).toMatchObject({ code: 1013, reason: 'too many connections' });
    client.socket.terminate();
    await state(await started, 'detached');
    const other = await connected(server);
    expect(await other.closed).toMatchObject({ code: 1013, reason: 'too many connections' });
    await ready(server, back(client, 2));
    expect(server.readiness.live).toBe(1);
  });

  it('may come back from another address, for which it counts then', async () => {
    const server = await serve({
      engine: wordy(),
      limits: { resumeMs: 60_000, connectionsPerAddress: 1 },
      clientAddress: ({ headers }) => String(headers['x-real-ip']),
    });
    const from = (address: string) => ({ headers: { 'x-real-ip': address } });
    const started = nextSession(server);
    const client = await ready(server, '', from('10.0.0.1'));
    const session = await started;
    const again = await ready(server, back(client, 0), from('10.0.0.2'));
    expect(session.address).toBe('10.0.0.2');
    again.socket.terminate();
    await state(session, 'detached');
    const there = await connected(server, '', from('10.0.0.2'));
    expect(await there.closed).toMatchObject({ code: 1013, reason: 'too many connections' });
    const elsewhere = await connected(server, '', from('10.0.0.1'));
    expect(await elsewhere.next('event')).toMatchObject({ name: 'waiting' });
  });

  it('may use a token again until it has shown that it got the next', async () => {
    const server = await keeping();
    const first = await talked(server, 1);
    const second = await ready(server, back(first, 2));
    const third = await ready(server, back(first, 2));
    third.send({ type: 'ping' });
    third.control('endTurn');
    await until(() => second.socket.readyState === second.socket.CLOSED);
    const late = await ready(server, back(third, 2));
    late.send({ type: 'ping' });
    const thief = await connected(server, back(first, 2));
    await until(() => events(thief).length > 0);
    expect(events(thief)[0]).toEqual(['not-resumed', { reason: 'unknown' }]);
    expect(late.socket.readyState).toBe(late.socket.OPEN);
  });

  it('that leaves is gone, and so is one whose time is over', async () => {
    const server = await keeping({ resumeMs: 30 });
    const left = await talked(server, 1);
    await left.close();
    await until(() => server.readiness.live === 0);
    const started = nextSession(server);
    const lost = await talked(server, 1);
    lost.socket.terminate();
    const session = await started;
    await state(session, 'detached');
    await state(session, 'closed');
    await until(() => server.readiness.live === 0);
    for (const [client, reason] of [
      [left, 'unknown'],
      [lost, 'expired'],
    ] as const) {
      const late = await ready(server, back(client, 2));
      expect(events(late)[0]).toEqual(['not-resumed', { reason }]);
      expect(late.messages.map(({ type }) => type)).toEqual(['metadata', 'event', 'event', 'handshake']);
      await late.close();
      await until(() => server.readiness.live === 0);
    }
  });

  it('that says it comes back is waited for', async () => {
    const server = await keeping();
    const started = nextSession(server);
    const client = await talked(server, 1);
    client.socket.close(4005, 'server silent');
    await state(await started, 'detached');
  });

  it.each([
    ['missed more than is kept', 0],
    ['claims more than it was sent', 1000],
  ])('that %s begins anew', async (_, received) => {
    const server = await keeping({ resumeBytes: 500 });
    const started = nextSession(server);
    const client = await talked(server, 10);
    const late = await ready(server, back(client, received));
    expect(events(late)[0]).toEqual(['not-resumed', { reason: 'gap' }]);
    expect(await started).toMatchObject({ state: { name: 'closed', code: 1006 } });
    expect((await client.closed).code).toBe(1006);
  });

  it.each(['&resume=x', '&resume=a%00b&received=1', '&resume=abc&received=-1'])(
    'is told what is wrong with %s',
    async (query) => {
      const client = await connected(await keeping(), query);
      expect(await client.closed).toMatchObject({ code: 1008, reason: 'bad parameters' });
    },
  );

  it('is waited for no longer than a moment before it was ever heard: it may have taken back what it asked for', async () => {
    const server = await keeping();
    const kept = async (come: () => Promise<Client>) => {
      const started = nextSession(server);
      const client = await come();
      client.socket.terminate();
      const session = await started;
      await state(session, 'detached');
      const { until: end } = session.state as { until: number };
      session.close();
      await until(() => server.readiness.live === 0);
      return end - Date.now();
    };
    expect(await kept(() => ready(server))).toBeLessThanOrEqual(2000);
    expect(await kept(() => talked(server, 1))).toBeGreaterThan(20_000);
  });

  it('is not kept while it waits, nor where the server keeps nobody', async () => {
    const server = await keeping();
    await ready(server);
    const started = nextSession(server);
    const waiting = await connected(server);
    await waiting.next('event');
    waiting.socket.terminate();
    await state(await started, 'closed');
    const plain = await serve({ engine: wordy() });
    const client = await ready(plain);
    expect(client.messages.map(({ type }) => type)).toEqual(['metadata', 'handshake']);
    expect((client.of('metadata')[0]!.data as { extensions: string[] }).extensions).not.toContain('resume');
  });

  it('needs its key and its origin to come back', async () => {
    const server = await serve({ engine: wordy(), keys: ['right'], limits: { resumeMs: 60_000 } });
    const client = await ready(server, '&key=right');
    await expect(connected(server, back(client, 0))).rejects.toThrow('401');
    await expect(
      connected(server, `${back(client, 0)}&key=right`, { origin: 'https://elsewhere.example' }),
    ).rejects.toThrow('403');
    await ready(server, `${back(client, 0)}&key=right`);
  });
});

describe('while nobody is there', () => {
  it('nothing more is stepped, and what was on its way is kept', async () => {
    const engine = wordy({ auto: false });
    const server = await keeping({}, engine);
    const started = nextSession(server);
    const client = await ready(server);
    for (const page of await oggOpus(speech(10))) client.audio(page);
    const session = await started;
    await until(() => engine.opened[0]?.queued === 3);
    client.socket.terminate();
    await state(session, 'detached');
    const [fake] = engine.opened;
    for (let i = 0; i < 3; i++) fake!.step();
    await new Promise((resolve) => setImmediate(resolve));
    expect(fake!.pushed).toHaveLength(3);
    const again = await ready(server, back(client, 0));
    await again.count('text', 3);
    expect(text(again)).toBe(' w0 w1 w2');
    await until(() => fake!.queued === 3);
  });

  it('the slot is held, and the line moves when the time is over', async () => {
    const server = await keeping({ resumeMs: 100 });
    const started = nextSession(server);
    const client = await talked(server, 2);
    const session = await started;
    const next = await connected(server);
    expect((await next.next('event')).name).toBe('waiting');
    const away = state(session, 'detached').then(() => server.readiness);
    client.socket.terminate();
    expect(await away).toMatchObject({ live: 1, waiting: 1 });
    await next.next('handshake');
    expect(session.state).toMatchObject({ name: 'closed', code: 1006 });
  });

  it('the client’s idleness does not count, the length of the conversation does', async () => {
    const server = await keeping({ idleMs: 1000, sessionMs: 3000 });
    const started = nextSession(server);
    const client = await talked(server, 1);
    client.socket.terminate();
    const session = await started;
    await state(session, 'detached');
    await state(session, 'closed');
    expect(session.state).toMatchObject({ reason: 'session limit' });
  });

  it('the server closes without waiting', async () => {
    const engine = wordy();
    const server = await keeping({}, engine);
    const started = nextSession(server);
    const client = await talked(server, 1);
    client.socket.terminate();
    const session = await started;
    await state(session, 'detached');
    await server.close();
    expect(session.state).toMatchObject({ name: 'closed', code: 1001 });
    expect(engine.active).toBe(0);
  });
});

it('stock clients see nothing of it, whatever they ask for', async () => {
  const server = await keeping();
  const started = nextSession(server);
  const client = await Client.ready(server, '?resume=abc&received=nonsense');
  for (const page of await oggOpus(speech(2))) client.audio(page);
  await client.count('text', 2);
  expect(client.raw.map((bytes) => bytes[0]).sort()).toEqual([0, 1, 1, 2, 2]);
  client.socket.terminate();
  await state(await started, 'closed');
});

it('a client is told when the engine is behind, and when it no longer is', async () => {
  const told: number[] = [];
  const watch = new BehindWatch((ms) => told.push(ms));
  for (const [now, waitingMs] of [
    [0, 800],
    [1500, 800],
    [1600, 80],
    [2000, 500],
    [3900, 500],
    [4000, 560],
    [5900, 900],
    [6000, 900],
    [6500, 400],
    [7000, 0],
  ] as const) {
    watch.look(waitingMs, now);
  }
  expect(told).toEqual([560, 900, 0]);
});

it('a replay keeps the last messages by their number, up to its bytes', () => {
  const replay = new Replay(10);
  expect(replay.after(0)).toEqual([]);
  expect(replay.after(1)).toBeUndefined();
  for (let i = 1; i <= 5; i++) replay.push(Uint8Array.of(i, i, i, i));
  expect(replay.count).toBe(5);
  expect(replay.after(5)).toEqual([]);
  expect(replay.after(3)?.map((bytes) => bytes[0])).toEqual([4, 5]);
  for (const received of [2, 0, 6]) expect(replay.after(received)).toBeUndefined();
  replay.push(new Uint8Array(11));
  expect(replay.after(5)).toBeUndefined();
  expect(replay.after(6)).toEqual([]);
});

it('of conversations that are over only the last tokens are remembered', () => {
  const resumption = new Resumption<object>();
  const tokens = Array.from({ length: 1001 }, () => {
    const session = {};
    const offered = resumption.offer(session);
    expect(resumption.find(offered)).toBe(session);
    resumption.end(session, true);
    expect(resumption.find(offered)).toBeUndefined();
    return offered;
  });
  expect(resumption.refusal(tokens[0]!)).toBe('unknown');
  expect(resumption.refusal(tokens[1]!)).toBe('expired');
  expect(resumption.refusal('another')).toBe('unknown');
});

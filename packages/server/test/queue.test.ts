import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { WaitingLine } from '../src/session/waiting-line';
import { Client } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve, state, until } from './support/fixture';

async function waiter(server: Parameters<typeof Client.open>[0], query = '?extensions=1') {
  const started = nextSession(server);
  const client = await Client.open(server, query);
  return { client, session: await started };
}

const positions = (client: Client) =>
  client.of('event').map(({ name, data }) => [name, (data as { position: number }).position]);

describe('the line', () => {
  it('serves first come, first served and tells every change of place to clients that asked', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }) });
    const first = await Client.ready(server, '?extensions=1');
    const a = await waiter(server);
    const b = await waiter(server);
    const c = await waiter(server);
    expect([a, b, c].map(({ session }) => session.state)).toEqual([
      { name: 'waiting', position: 1 },
      { name: 'waiting', position: 2 },
      { name: 'waiting', position: 3 },
    ]);
    expect(server.readiness).toEqual({ ready: true, slots: 1, live: 1, waiting: 3 });

    await first.close();
    await a.client.next('handshake');
    await b.client.close();
    await c.client.count('event', 3);
    expect(positions(first)).toEqual([]);
    expect(positions(a.client)).toEqual([['waiting', 1]]);
    expect(positions(c.client)).toEqual([
      ['waiting', 3],
      ['waiting', 2],
      ['waiting', 1],
    ]);
    expect(c.client.of('handshake')).toEqual([]);
    await a.client.close();
    await c.client.next('handshake');
  });

  it('never shows an extension to a stock client', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }) });
    const first = await Client.ready(server);
    const { client } = await waiter(server, '');
    const behind = await waiter(server);
    await first.close();
    await client.next('handshake');
    await behind.client.count('event', 2);
    expect(client.raw.map((bytes) => bytes.toString('hex'))).toEqual(['00']);
  });

  it('turns a newcomer away with 1013 when the line is full', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }), limits: { waiting: 1 } });
    await Client.ready(server);
    const inLine = await waiter(server);
    const refused = await Client.open(server);
    expect(await refused.next('error')).toMatchObject({ message: expect.stringContaining('try again later') });
    expect(await refused.closed).toEqual({ code: 1013, reason: 'server full' });
    expect(server.readiness).toEqual({ ready: false, slots: 1, live: 1, waiting: 1 });
    await inLine.client.close();
    await until(() => server.readiness.waiting === 0);
    const again = await waiter(server);
    expect(again.session.state).toEqual({ name: 'waiting', position: 1 });
  });

  it('gives the slot of a killed client to the next one at once', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }) });
    const started = nextSession(server);
    const first = await Client.ready(server);
    const session = await started;
    const { client } = await waiter(server);
    first.socket.terminate();
    await client.next('handshake');
    expect(session.state).toMatchObject({ name: 'closed', code: 1006 });
  });

  it('gives the place of a killed waiting client to the one behind it', async () => {
    const server = await serve({ engine: loopbackEngine({ slots: 1 }) });
    await Client.ready(server);
    const a = await waiter(server);
    const b = await waiter(server);
    a.client.socket.terminate();
    await b.client.count('event', 2);
    expect(positions(b.client).at(-1)).toEqual(['waiting', 1]);
  });

  it('frees the slot of a client that leaves while its prompt is stepped in', async () => {
    const gates: (() => void)[] = [];
    const engine = new FakeEngine({ opening: () => new Promise((resolve) => gates.push(resolve)) });
    const server = await serve({ engine });
    const leaving = await waiter(server);
    await state(leaving.session, 'prompting');
    const { client } = await waiter(server);
    await leaving.client.close();
    await until(() => gates.length === 1);
    gates[0]!();
    await until(() => gates.length === 2);
    gates[1]!();
    await client.next('handshake');
    expect(engine.opened.map(({ closed }) => closed)).toEqual([true, false]);
    expect(leaving.session.state.name).toBe('closed');
  });

  it('goes on with the next client when the engine refuses one', async () => {
    const engine = new FakeEngine({
      opening: ({ voice }) => {
        if (voice === 'bad') throw Object.assign(new Error('no such voice: bad'), { code: 'ENGINE_BAD_OPTION' });
      },
    });
    const server = await serve({ engine });
    const first = await Client.ready(server);
    const bad = await waiter(server, '?voice_prompt=bad');
    const { client } = await waiter(server);
    await first.close();
    expect(await bad.client.next('error')).toMatchObject({ message: 'no such voice: bad' });
    expect(await bad.client.closed).toMatchObject({ code: 1008 });
    await client.next('handshake');
  });

  it('waits at the head of the line while somebody else fills the engine', async () => {
    const engine = new FakeEngine({ slots: 1 });
    const other = await engine.open();
    const server = await serve({ engine });
    const a = await waiter(server);
    const b = await waiter(server);
    await a.client.count('event', 1);
    expect(a.session.state).toEqual({ name: 'waiting', position: 1 });
    expect(b.session.state).toEqual({ name: 'waiting', position: 2 });
    await other.close();
    await a.client.next('handshake');
    expect(b.client.of('handshake')).toEqual([]);
  });
});

describe('WaitingLine', () => {
  class Someone {
    readonly told: (number | 'admitted')[] = [];
    onMoved = (_: number) => {};
    admit() {
      this.told.push('admitted');
    }
    moved(position: number) {
      this.told.push(position);
      this.onMoved(position);
    }
  }

  it('bounds the line at 0 too', () => {
    const line = new WaitingLine(1, 0);
    expect(line.enter(new Someone())).toBe(true);
    expect(line.open).toBe(false);
    expect(line.enter(new Someone())).toBe(false);
    line.release();
    expect(line.open).toBe(true);
  });

  it('keeps its places right when somebody leaves while being told', () => {
    const line = new WaitingLine(1, 9);
    const [holder, a, b, c] = [new Someone(), new Someone(), new Someone(), new Someone()];
    for (const someone of [holder, a, b, c]) line.enter(someone);
    b.onMoved = (position) => {
      if (position === 1) line.leave(b);
    };
    line.release();
    expect(a.told).toEqual([1, 'admitted']);
    expect(c.told.at(-1)).toBe(1);
    expect(line.waiting).toBe(1);
  });

  it('keeps the order of two that both found the engine full', () => {
    const line = new WaitingLine(2, 9);
    const [a, b, c] = [new Someone(), new Someone(), new Someone()];
    for (const someone of [a, b, c]) line.enter(someone);
    line.comeBack(b);
    line.comeBack(a);
    expect([a.told.at(-1), b.told.at(-1), c.told.at(-1)]).toEqual([1, 2, 3]);
    line.clear();
  });
});

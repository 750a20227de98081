import { type Message, sayEvent } from '@moshi/protocol';
import { describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { Client, oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve, state, until } from './support/fixture';
import { random, tone } from './support/signals';

async function start(query = '?extensions=1', engine = new FakeEngine({ speaks: true })) {
  const server = await serve({ engine });
  const started = nextSession(server);
  const client = await Client.ready(server, query);
  return { client, session: await started, engine, server };
}

/** A promise and the key to it. */
function gate() {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

const events = (client: Client) => client.of('event').map(({ name, data }) => [name, data]);
const ended = (client: Client) => events(client).filter(([name]) => name === 'say-end');
const texts = (client: Client) =>
  client
    .of('text')
    .map(({ text }) => text)
    .join('');

describe('a restart', () => {
  it('keeps texts that come while it is under way for the new conversation', async () => {
    const { client, session, engine } = await start();
    const { open, opened } = gate();
    engine.opened[0]!.resetting = opened;
    client.control('restart');
    client.send(sayEvent({ name: 'say', id: 1, text: 'hello again' }));
    client.send({ type: 'text', text: 'and this' });
    const heard: string[] = [];
    session.on('userText', (text) => heard.push(text));
    await until(() => heard.length === 2);
    open();
    await until(() => ended(client).length === 2);
    expect(events(client)[0]).toEqual(['restarted', undefined]);
    expect(ended(client)).toEqual([
      ['say-end', { id: 1, text: 'hello again', completed: true }],
      ['say-end', { id: -1, text: 'and this', completed: true }],
    ]);
    expect(texts(client)).toBe(' hello again and this');
  });

  it('leaves out what a hook gives back only after it', async () => {
    const engine = new FakeEngine({ script: (n, pcm) => ({ pcm, text: ` ${n}` }) });
    const server = await serve({ engine });
    const { open, opened } = gate();
    let calls = 0;
    server.on('session', (session) =>
      session.pipe({ modelText: (text) => (++calls === 3 ? opened.then(() => text) : text) }),
    );
    const client = await Client.ready(server, '?extensions=1&max_steps=4');
    const pages = await oggOpus(tone(8, 300));
    for (const page of pages.slice(0, 9)) client.audio(page);
    await until(() => calls === 3);
    client.control('restart');
    await client.next('event');
    open();
    for (const page of pages.slice(9)) client.audio(page);
    // Its steps do not count for the new one either.
    expect(await client.closed).toEqual({ code: 1000, reason: 'step limit' });
    expect(texts(client)).toBe(' 0 1 0 1 2 3');
  });
});

describe('texts with the hooks', () => {
  it('are taken back by their client, one or all, and not by the host that holds them', async () => {
    const engine = new FakeEngine({ speaks: true });
    const server = await serve({ engine });
    const { open, opened } = gate();
    const seen: string[] = [];
    server.on('session', (session) =>
      session.pipe({
        userText: async (text) => {
          seen.push(text);
          // A host that makes room for its answer.
          if (seen.length === 1) session.interrupt();
          await opened;
          return text;
        },
      }),
    );
    const client = await Client.ready(server, '?extensions=1');
    for (const id of [1, 2]) client.send(sayEvent({ name: 'say', id, text: `text ${id}` }));
    client.send(sayEvent({ name: 'say-cancel', id: 2 }));
    await until(() => seen.length === 1);
    open();
    await until(() => ended(client).length === 2);
    expect(ended(client)).toContainEqual(['say-end', { id: 2, text: '', completed: false }]);
    expect(texts(client)).toBe(' text 1');
    // No hook is asked about what is taken back already.
    expect(seen).toEqual(['text 1']);
    client.send({ type: 'text', text: 'text 3' });
    client.send(sayEvent({ name: 'interrupt' }));
    client.send(sayEvent({ name: 'say', id: 4, text: 'text 4' }));
    await until(() => ended(client).length === 3);
    expect(texts(client)).toBe(' text 1 text 4');
  });

  it('are bounded in number and in size', async () => {
    const { client, session } = await start();
    session.pipe({ userText: () => new Promise<string>(() => {}) });
    for (let id = 0; id < 101; id++) client.send(sayEvent({ name: 'say', id, text: 'x' }));
    await until(() => events(client).length === 1);
    expect(events(client)).toEqual([
      ['say-error', { id: 100, message: expect.stringMatching(/wait for what was sent/) }],
    ]);
    const other = await start('');
    other.session.pipe({ userText: () => new Promise<string>(() => {}) });
    for (let i = 0; i < 3; i++) other.client.send({ type: 'text', text: 'x'.repeat(400_000) });
    expect((await other.client.next('error')).message).toMatch(/Too much text/);
    expect(other.session.state.name).toBe('live');
  });
});

it('long texts are refused before the handshake too', async () => {
  const { open, opened } = gate();
  const server = await serve({ engine: new FakeEngine({ speaks: true, opening: () => opened }) });
  const client = await Client.open(server);
  client.send({ type: 'text', text: 'x'.repeat(10_001) });
  expect((await client.next('error')).message).toMatch(/10001 characters; at most 10000/);
  open();
  await client.next('handshake');
});

it('a client that makes answers and does not take them is not read', async () => {
  const pause = vi.spyOn(WebSocket.prototype, 'pause');
  const { client, session } = await start();
  let taken = 0;
  session.on('userText', () => taken++);
  client.socket.pause();
  pause.mockClear();
  const sent = 200_000;
  for (let id = 0; id < sent; id++) client.send(sayEvent({ name: 'say', id, text: 'unspeakable' }));
  await until(() => pause.mock.calls.length > 0);
  expect(taken).toBeLessThan(sent);
  client.socket.resume();
  await until(() => client.raw.length >= sent + 2 && events(client).length === sent);
  expect(session.state.name).toBe('live');
  pause.mockRestore();
});

it('max_steps counts steps, not frames that a pause dropped on their way through a hook', async () => {
  const { open, opened } = gate();
  const engine = new FakeEngine({ script: (_, pcm) => ({ pcm }) });
  const server = await serve({ engine });
  const started = nextSession(server);
  let calls = 0;
  server.on('session', (session) =>
    session.pipe({ userAudio: (pcm) => (++calls === 1 ? opened.then(() => pcm) : pcm) }),
  );
  const client = await Client.ready(server, '?max_steps=4');
  const session = await started;
  const pages = await oggOpus(tone(20, 300));
  for (const page of pages.slice(0, 10)) client.audio(page);
  await until(() => calls === 1);
  client.control('pause');
  await state(session, 'paused');
  open();
  client.control('start');
  for (const page of pages.slice(10)) client.audio(page);
  expect(await client.closed).toEqual({ code: 1000, reason: 'step limit' });
  expect(engine.opened[0]!.pushed).toHaveLength(4);
});

it('a prompt of 100 000 characters that take 12 bytes each in the address is refused in words', async () => {
  const server = await serve({ engine: new FakeEngine() });
  const client = await Client.open(server, `?${new URLSearchParams({ text_prompt: '🙂'.repeat(100_000) })}`);
  expect((await client.next('error')).message).toMatch(/^text_prompt has 200000 characters/);
  expect((await client.closed).code).toBe(1008);
});

it('random events, controls and bytes neither end nor confuse a conversation', async () => {
  const next = random(3);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const byte = () => Math.floor(next() * 256);
  const values = [
    null,
    0,
    1,
    2,
    -1,
    1e300,
    1.5,
    'x',
    '',
    'say this',
    'unspeakable',
    [],
    {},
    true,
    { id: 1 },
    'wait',
    '\0',
  ];
  const names = ['say', 'say-cancel', 'interrupt', 'say-end', 'waiting', 'restarted', '__proto__', ''];
  const engine = new FakeEngine({ speaks: true });
  const { client, session, server } = await start('?extensions=1', engine);
  const failures: Error[] = [];
  server.on('error', (error) => failures.push(error));
  const pages = await oggOpus(tone(30, 300));
  const makers: (() => Uint8Array | Message)[] = [
    () => Uint8Array.of(3, byte()),
    () => Uint8Array.of(3, Math.floor(next() * 4)),
    () => Buffer.from(`\x20${JSON.stringify(pick(values))}`),
    () => Uint8Array.from({ length: Math.floor(next() * 20) }, byte),
    () => ({ type: 'audio', data: pick(pages) }),
    () => ({
      type: 'event',
      name: pick(names),
      data: Object.fromEntries(['id', 'text', 'floor'].filter(() => next() < 0.7).map((key) => [key, pick(values)])),
    }),
  ];
  for (let i = 0; i < 4000; i++) {
    const made = pick(makers)();
    if (made instanceof Uint8Array) client.socket.send(made);
    else client.send(made);
    if (i % 200 === 0) await new Promise(setImmediate);
  }
  client.control('restart');
  client.send(sayEvent({ name: 'say', id: 4711, text: 'still here' }));
  await until(() => ended(client).some(([, data]) => (data as { id: number }).id === 4711));
  expect(ended(client)).toContainEqual(['say-end', { id: 4711, text: 'still here', completed: true }]);
  expect(session.state.name).toBe('live');
  expect(failures).toEqual([]);
});

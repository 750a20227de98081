import { sayEvent } from '@moshi/protocol';
import { rms } from '@moshi/protocol/audio';
import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { Client, heard, oggOpus } from './support/client';
import { FakeEngine, type SpeakingSession } from './support/fake-engine';
import { nextSession, serve, state, until } from './support/fixture';
import { tone } from './support/signals';

async function start(query = '?extensions=1', engine = new FakeEngine({ speaks: true })) {
  const server = await serve({ engine });
  const started = nextSession(server);
  const client = await Client.ready(server, query);
  const fake = engine.opened[0] as SpeakingSession;
  return { client, session: await started, fake, engine, server };
}

const texts = (client: Client) =>
  client
    .of('text')
    .map(({ text }) => text)
    .join('');
const events = (client: Client) => client.of('event').map(({ name, data }) => [name, data]);

describe('say', () => {
  it('speaks the text of a stock client, which sends no audio and asks for no extensions', async () => {
    const { client, fake } = await start('');
    client.send({ type: 'text', text: 'Your order has shipped.' });
    await client.count('text', 4);
    expect(texts(client)).toBe(' Your order has shipped.');
    expect(fake.said).toMatchObject([{ text: 'Your order has shipped.', options: { floor: 'interrupt' } }]);
    expect(new Set(client.messages.map(({ type }) => type))).toEqual(new Set(['handshake', 'audio', 'text']));
    expect((await heard(client)).length).toBeGreaterThan(3 * 1920);
  });

  it('stops stepping silence when the text is spoken, and while the client sends audio of its own', async () => {
    const { client, session, fake } = await start('');
    for (const page of await oggOpus(tone(2, 300))) client.audio(page);
    client.send({ type: 'text', text: 'one' });
    await client.count('text', 1);
    await until(() => session.stats.framesIn > 8);
    // The word's sound comes after its text; then it is quiet again: nothing is stepped from one look to the next.
    let framesIn = 0;
    while (framesIn !== session.stats.framesIn) {
      framesIn = session.stats.framesIn;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(fake.pushed.length).toBe(framesIn);
  });

  it('tells a client with extensions how its texts go, by its own numbers', async () => {
    const { client } = await start();
    client.send(sayEvent({ name: 'say', id: 7, text: 'Hello there.', floor: 'wait' }));
    client.send({ type: 'text', text: 'and this' });
    await until(() => events(client).filter(([name]) => name === 'say-end').length === 2);
    expect(events(client)).toEqual([
      ['say-start', { id: 7, text: 'Hello there.' }],
      ['say-word', { id: 7, word: 'Hello' }],
      ['say-word', { id: 7, word: 'there.' }],
      ['say-end', { id: 7, text: 'Hello there.', completed: true }],
      ['say-start', { id: -1, text: 'and this' }],
      ['say-word', { id: -1, word: 'and' }],
      ['say-word', { id: -1, word: 'this' }],
      ['say-end', { id: -1, text: 'and this', completed: true }],
    ]);
    // A word's notice comes before its text, the end after it.
    const order = client.messages.filter(({ type }) => type === 'event' || type === 'text').map(({ type }) => type);
    expect(order.slice(0, 6)).toEqual(['event', 'event', 'text', 'event', 'text', 'event']);
  });

  it('announces what the engine can do', async () => {
    const able = (await start()).client.of('metadata')[0]!.data;
    expect(able).toMatchObject({
      extensions: ['waiting', 'control', 'restarted', 'say'],
      features: ['say', 'interrupt', 'endTurn'],
    });
    const server = await serve({ engine: loopbackEngine() });
    const client = await Client.ready(server, '?extensions=1');
    expect(client.of('metadata')[0]!.data).toMatchObject({ extensions: ['waiting', 'control', 'restarted'] });
    client.send({ type: 'text', text: 'hello' });
    expect((await client.next('error')).message).toBe('This engine cannot speak a given text.');
  });

  it('keeps texts sent before the handshake for the conversation', async () => {
    let open!: () => void;
    const opening = new Promise<void>((resolve) => {
      open = resolve;
    });
    const server = await serve({ engine: new FakeEngine({ speaks: true, opening: () => opening }) });
    const started = nextSession(server);
    const client = await Client.open(server, '');
    const session = await started;
    client.send({ type: 'text', text: 'first' });
    const second = session.say('second');
    await until(() => session.state.name === 'prompting');
    open();
    expect(await second).toEqual({ text: 'second', completed: true });
    await client.count('text', 2);
    expect(texts(client)).toMatch(/^( first second| second first)$/);
  });

  it('takes texts back: one, all, by interruption, by signal', async () => {
    const { client, session, fake } = await start();
    session.pause();
    const ids = [1, 2, 3];
    for (const id of ids) client.send(sayEvent({ name: 'say', id, text: `text ${id}` }));
    await until(() => fake.said.length === 3);
    client.send(sayEvent({ name: 'say-cancel', id: 2 }));
    await until(() => events(client).length === 1);
    expect(events(client)).toEqual([['say-end', { id: 2, text: '', completed: false }]]);
    client.send(sayEvent({ name: 'interrupt' }));
    await until(() => events(client).length === 3);
    expect(fake.interruptions).toBe(1);
    const abort = new AbortController();
    const taken = session.say('never', { signal: abort.signal });
    const other = session.say('cancelled');
    abort.abort();
    expect(await taken).toEqual({ text: '', completed: false });
    session.cancelSay();
    expect(await other).toEqual({ text: '', completed: false });
    expect(await session.say('late', { signal: abort.signal })).toEqual({ text: '', completed: false });
  });

  it('refuses what cannot be spoken, and goes on', async () => {
    const { client, session } = await start();
    client.send({ type: 'text', text: 'this is unspeakable' });
    expect((await client.next('error')).message).toBe('there are no pieces for this');
    client.send(sayEvent({ name: 'say', id: 4, text: 'unspeakable' }));
    client.send({ type: 'event', name: 'say', data: { id: 'x', text: 'hello' } });
    await client.count('error', 2);
    expect(events(client)).toContainEqual(['say-error', { id: 4, message: 'there are no pieces for this' }]);
    expect(client.of('error')[1]!.message).toMatch(/"say": id must be a whole number/);
    client.send({ type: 'text', text: ' \n ' });
    await expect(session.say('unspeakable')).rejects.toThrow('no pieces');
    session.pause();
    client.send(sayEvent({ name: 'say', id: 5, text: 'one' }));
    client.send(sayEvent({ name: 'say', id: 5, text: 'two' }));
    await until(() => events(client).some(([name, data]) => name === 'say-error' && (data as { id: number }).id === 5));
    expect(session.state.name).toBe('paused');
  });

  it('ends with the session: what was not spoken is told as such', async () => {
    const { client, session } = await start();
    session.pause();
    const said = session.say('never heard');
    session.close();
    expect(await said).toEqual({ text: '', completed: false });
    expect(await session.say('too late')).toEqual({ text: '', completed: false });
    expect((await client.closed).code).toBe(1000);
  });

  it('begins anew with the conversation', async () => {
    const { client, session } = await start();
    session.pause();
    const said = session.say('never heard');
    await session.restart();
    expect(await said).toEqual({ text: '', completed: false });
    expect(await session.say('again')).toEqual({ text: 'again', completed: true });
    await client.count('text', 1);
    expect(texts(client)).toBe(' again');
  });

  it('lets the host do what control messages do', async () => {
    const { client, session, fake } = await start();
    session.pause();
    await state(session, 'paused');
    session.resume();
    await state(session, 'live');
    session.endTurn();
    client.control('endTurn');
    await until(() => fake.turns === 2);
    session.interrupt();
    expect(fake.interruptions).toBe(1);
    session.sendEvent('agent', { busy: true });
    await until(() => events(client).length === 1);
    expect(events(client)).toEqual([['agent', { busy: true }]]);
    for (const name of ['say-end', 'waiting', 'say']) expect(() => session.sendEvent(name)).toThrow(/protocol's own/);
  });
});

describe('a pipe', () => {
  it('sees and alters sound and text both ways, in the order they were added', async () => {
    const engine = new FakeEngine({ speaks: true });
    const server = await serve({ engine });
    const heardByHooks: string[] = [];
    server.on('session', (session) => {
      session.pipe({ userText: (text) => `${text} twice`, userAudio: (pcm) => pcm.map((v) => v / 2) });
      session.pipe({
        userText: async (text) => {
          heardByHooks.push(text);
          return text === 'swallowed twice' ? null : text.toUpperCase();
        },
        modelText: (text) => (text.includes('SECRET') ? null : text.toLowerCase()),
        modelAudio: async (pcm) => pcm.map((v) => v / 2),
      });
    });
    const client = await Client.ready(server, '');
    client.send({ type: 'text', text: 'swallowed' });
    client.send({ type: 'text', text: 'a secret' });
    await client.count('text', 2);
    expect(heardByHooks).toEqual(['swallowed twice', 'a secret twice']);
    expect(texts(client)).toBe(' a twice');
    for (const page of await oggOpus(tone(20, 300))) client.audio(page);
    await client.count('audio', 20);
    const back = await heard(client);
    expect(rms(back.subarray(-8 * 1920))).toBeCloseTo(rms(tone(1, 300)) / 4, 1);
    expect(rms(back.subarray(-8 * 1920))).toBeLessThan(rms(tone(1, 300)) / 3);
  });

  it('keeps order and stops the flow while a hook takes its time', async () => {
    const engine = new FakeEngine({ script: (step, input) => ({ pcm: input, text: ` ${step}` }) });
    const server = await serve({ engine });
    let release!: () => void;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let calls = 0;
    server.on('session', (session) =>
      session.pipe({ modelText: async (text) => (++calls === 3 ? gate.then(() => text) : text) }),
    );
    const started = nextSession(server);
    const client = await Client.ready(server, '');
    const session = await started;
    for (const page of await oggOpus(tone(60, 300))) client.audio(page);
    await until(() => calls === 3);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(session.stats.framesIn).toBeLessThan(12);
    expect(client.of('text')).toHaveLength(2);
    release();
    await client.count('text', 60);
    expect(texts(client)).toBe(Array.from({ length: 60 }, (_, i) => ` ${i}`).join(''));
  });

  it('makes silence of null', async () => {
    const engine = new FakeEngine({ script: (_, input) => ({ pcm: input }) });
    const server = await serve({ engine });
    server.on('session', (session) => session.pipe({ userAudio: () => null }));
    const client = await Client.ready(server, '');
    for (const page of await oggOpus(tone(10, 300))) client.audio(page);
    await client.count('audio', 10);
    expect(rms(await heard(client))).toBeLessThan(0.001);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('out of order');
      },
      /out of order/,
    ],
    ['rejects', () => Promise.reject(new Error('out of order')), /out of order/],
    ['gives something else', () => new Float32Array(5), /1920 samples/],
  ] as const)('that %s ends the session with a reason', async (_, userAudio, message) => {
    const server = await serve({ engine: loopbackEngine() });
    server.on('session', (session) => session.pipe({ userAudio }));
    const client = await Client.ready(server, '');
    for (const page of await oggOpus(tone(3, 300))) client.audio(page);
    expect((await client.next('error')).message).toMatch(message);
    expect(await client.closed).toEqual({ code: 1011, reason: 'server error' });
  });
});

import { type EventMessage, encodeMessage } from '@moshi/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { connect, connectStream, type Session, type StreamEvent } from '../src/index';
import { fakeSession } from './support/fake-session';
import { closeServers, type Script, scriptedServer } from './support/server';
import { speech } from './support/signal';
import { opusPages } from './support/wire';

afterEach(closeServers);

const announced = ['say'];
const event = (name: string, data: unknown): EventMessage => ({ type: 'event', name, data });
const start = (id: number, text: string) => event('say-start', { id, text });
const word = (id: number, text: string) => event('say-word', { id, word: text });
const end = (id: number, text: string, completed = true) => event('say-end', { id, text, completed });

describe('say', () => {
  it('asks for the text, tells how it goes on the reply’s clock, and resolves with what was spoken', async () => {
    const { transport, session, log } = await fakeSession({}, announced);
    const said = session.say('Your order.', { floor: 'wait' });
    expect(transport.sent).toEqual([event('say', { id: 1, text: 'Your order.', floor: 'wait' })]);
    for (const message of [start(1, 'Your order.'), word(1, 'Your')]) transport.receive(message);
    for (const data of await opusPages(1)) transport.receive({ type: 'audio', data });
    for (const message of [word(1, 'order.'), end(1, 'Your order.')]) transport.receive(message);
    expect(await said).toEqual({ text: 'Your order.', completed: true });
    expect(log.filter(([name]) => name.startsWith('say'))).toEqual([
      ['say-start', { id: 1, text: 'Your order.' }],
      ['say-word', { id: 1, word: 'Your', time: 0 }],
      ['say-word', { id: 1, word: 'order.', time: 0.08 }],
      ['say-end', { id: 1, text: 'Your order.', completed: true }],
    ]);
    transport.hangUp();
  });

  it('gives each text its own number, so that each promise has its own end', async () => {
    const { transport, session } = await fakeSession({}, announced);
    const texts = ['one', 'two', 'three'].map((text) => session.say(text));
    expect(transport.sent).toEqual(
      ['one', 'two', 'three'].map((text, i) => event('say', { id: i + 1, text, floor: 'interrupt' })),
    );
    for (const [id, text] of [
      [2, 'two'],
      [3, ''],
      [1, 'one'],
    ] as const) {
      transport.receive(end(id, text, text !== ''));
    }
    expect(await Promise.all(texts)).toEqual([
      { text: 'one', completed: true },
      { text: 'two', completed: true },
      { text: '', completed: false },
    ]);
    transport.hangUp();
  });

  it('rejects with the server’s words when it cannot speak the text; the others go on', async () => {
    const { transport, session, log } = await fakeSession({}, announced);
    const bad = session.say('\u{1F600}');
    const good = session.say('fine');
    transport.receive(event('say-error', { id: 1, message: 'no pieces for that' }));
    transport.receive(end(2, 'fine'));
    await expect(bad).rejects.toMatchObject({ code: 'server', message: 'no pieces for that' });
    expect(await good).toEqual({ text: 'fine', completed: true });
    expect(log.filter(([name]) => name === 'say-end').map(([, data]) => data)).toEqual([
      { id: 1, text: '', completed: false },
      { id: 2, text: 'fine', completed: true },
    ]);
    transport.hangUp();
  });

  it('resolves with the words begun when the session ends first', async () => {
    const { transport, session } = await fakeSession({}, announced);
    const said = session.say('a b c');
    const waiting = session.say('more');
    for (const text of ['a', 'b']) transport.receive(word(1, text));
    transport.hangUp({ code: 1006, clean: false });
    expect(await said).toEqual({ text: 'a b', completed: false });
    expect(await waiting).toEqual({ text: '', completed: false });
    expect(await session.say('too late')).toEqual({ text: '', completed: false });
  });

  it.each([[''], [' \n'], [5 as never]])('refuses %j', async (text) => {
    const { transport, session } = await fakeSession({}, announced);
    await expect(session.say(text)).rejects.toMatchObject({ code: 'bad-option' });
    expect(transport.sent).toEqual([]);
    transport.hangUp();
  });

  it('refuses a floor that is none', async () => {
    const { transport, session } = await fakeSession({}, announced);
    await expect(session.say('hi', { floor: 'mine' as never })).rejects.toMatchObject({ code: 'bad-option' });
    transport.hangUp();
  });
});

describe('a promise nobody waits for', () => {
  it('is no unhandled rejection', async () => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown) => unhandled.push(reason);
    const others = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', listener);
    const { transport, session } = await fakeSession({}, ['say', 'restarted']);
    void session.say('');
    void session.say('a');
    session.startSay('b');
    void session.restart();
    for (const id of [1, 2]) transport.receive(event('say-error', { id, message: 'no' }));
    transport.hangUp();
    void session.restart();
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.removeAllListeners('unhandledRejection');
    for (const other of others) process.on('unhandledRejection', other);
    expect(unhandled).toEqual([]);
  });
});

describe('taking back', () => {
  it('one text or all, and stopping the model', async () => {
    const { transport, session } = await fakeSession({}, announced);
    session.cancelSay(7);
    session.cancelSay();
    session.interrupt();
    expect(transport.sent).toEqual([event('say-cancel', { id: 7 }), event('say-cancel', {}), event('interrupt', {})]);
    transport.hangUp();
    expect(() => session.interrupt()).toThrow(expect.objectContaining({ code: 'closed' }));
  });

  it('of what is no text of this session is refused: it would be all of them', async () => {
    const { transport, session } = await fakeSession({}, announced);
    for (const wrong of [Number.NaN, null, '1', -1, 1.5]) {
      expect(() => session.cancelSay(wrong as number)).toThrow(expect.objectContaining({ code: 'bad-option' }));
    }
    expect(transport.sent).toEqual([]);
    transport.hangUp();
  });

  it('comes with the signal, once, and what was spoken is told', async () => {
    const { transport, session } = await fakeSession({}, announced);
    const controller = new AbortController();
    const said = session.say('a b', { signal: controller.signal });
    const other = session.say('c', { signal: controller.signal });
    transport.receive(end(2, 'c'));
    await other;
    transport.sent.length = 0;
    controller.abort();
    expect(transport.sent).toEqual([event('say-cancel', { id: 1 })]);
    transport.receive(end(1, 'a', false));
    expect(await said).toEqual({ text: 'a', completed: false });
    expect(await session.say('never', { signal: controller.signal })).toEqual({ text: '', completed: false });
    expect(transport.sent).toHaveLength(1);
    transport.hangUp();
  });

  it('by the signal does no harm while the session closes', async () => {
    const { transport, session } = await fakeSession({}, announced);
    const controller = new AbortController();
    const said = session.say('a b', { signal: controller.signal });
    const closing = session.close();
    controller.abort();
    transport.hangUp();
    await closing;
    expect(await said).toEqual({ text: '', completed: false });
  });
});

describe('a server that did not announce say', () => {
  it.each([[undefined], [['control', 'waiting']], ['say' as never]])('is not asked (%j)', async (extensions) => {
    const { transport, session } = await fakeSession({}, extensions);
    const refused = { code: 'unsupported' };
    await expect(session.say('hi')).rejects.toMatchObject(refused);
    expect(() => session.cancelSay()).toThrow(expect.objectContaining(refused));
    expect(() => session.interrupt()).toThrow(expect.objectContaining(refused));
    expect(transport.sent).toEqual([]);
    transport.hangUp();
  });

  it('gets plain text by force, which is all that is known of it', async () => {
    const { transport, session } = await fakeSession();
    expect(await session.say('hi there', { force: true })).toEqual({ text: 'hi there', completed: true });
    const signal = AbortSignal.abort();
    expect(await session.say('no', { force: true, signal })).toEqual({ text: '', completed: false });
    expect(transport.sent).toEqual([{ type: 'text', text: 'hi there' }]);
    transport.hangUp();
    expect(await session.say('late', { force: true })).toEqual({ text: '', completed: false });
  });
});

describe('what the server tells', () => {
  it('of texts that are not this session’s is told too', async () => {
    const { transport, log } = await fakeSession({}, announced);
    for (const message of [start(-1, 'Hello'), word(-1, 'Hello'), end(-1, 'Hello')]) transport.receive(message);
    expect(log.map(([name]) => name).filter((name) => name !== 'message')).toEqual([
      'say-start',
      'say-word',
      'say-end',
    ]);
    transport.hangUp();
  });

  it('in no good shape is an error and nothing more', async () => {
    const { transport, session, log } = await fakeSession({}, announced);
    const said = session.say('a b');
    const bad = [event('say-end', { id: 1 }), event('say-word', null), event('say-start', { id: 'x', text: '' })];
    for (const message of bad) transport.receive(message);
    expect(log.filter(([name]) => name === 'error')).toEqual(
      bad.map(() => ['error', expect.objectContaining({ code: 'malformed' })]),
    );
    // Unknown events, and ends of texts nobody asked for, are no fault.
    for (const message of [event('stage', 1), end(99, 'x'), event('say-error', { id: 98, message: '' })]) {
      transport.receive(message);
    }
    transport.receive(end(1, 'a b'));
    expect(await said).toEqual({ text: 'a b', completed: true });
    expect(log.filter(([name]) => name === 'error')).toHaveLength(bad.length);
    transport.hangUp();
  });

  it('without end does not pile up', async () => {
    const { transport, session } = await fakeSession({}, announced);
    const said = session.say('a b');
    for (let i = 0; i < 1000; i++) transport.receive(word(1, 'a'));
    transport.hangUp();
    expect(await said).toEqual({ text: 'a a', completed: false });
  });
});

/** Speaks each text as it comes, a word a frame, as @moshi/server does: notices, audio, text, and the end. */
const speaking: Script = async (peer) => {
  peer.send(encodeMessage({ type: 'metadata', data: { extensions: announced } }), Uint8Array.of(0));
  const pages = await opusPages(100);
  const words: { id: number; text: string; last: boolean; first: boolean; all: string }[] = [];
  let heard = -1;
  for (let message = await peer.next(); message; message = await peer.next()) {
    if (message.type === 'event' && message.name === 'say') {
      const { id, text: all } = message.data as { id: number; text: string };
      const parts = all.split(' ');
      words.push(...parts.map((text, i) => ({ id, text, first: i === 0, last: i === parts.length - 1, all })));
    }
    // Two pages of the client's make a frame; its headers come first.
    if (message.type !== 'audio' || heard++ < 0 || heard % 2 !== 0) continue;
    const next = words.shift();
    if (next?.first) peer.send(encodeMessage(start(next.id, next.all)));
    if (next) peer.send(encodeMessage(word(next.id, next.text)));
    for (const data of pages.splice(0, heard === 2 ? 3 : 2)) peer.send(encodeMessage({ type: 'audio', data }));
    if (next) peer.send(encodeMessage({ type: 'text', text: ` ${next.text}` }));
    if (next?.last) peer.send(encodeMessage(end(next.id, next.all)));
  }
};

describe('connectStream', () => {
  it('hands out its session before it sends, and yields what becomes of the texts', async () => {
    const server = await scriptedServer(speaking);
    const events: StreamEvent[] = [];
    let said: Promise<unknown> | undefined;
    const onSession = (session: Session) => {
      expect(session.metrics.audioSentSeconds).toBe(0);
      said = session.say('Hello to you');
    };
    for await (const each of connectStream(server.url, [speech(0.8)], { onSession })) events.push(each);
    expect(await said).toEqual({ text: 'Hello to you', completed: true });
    const notices = events.filter((each) => each.type.startsWith('say') || each.type === 'text');
    expect(notices).toEqual([
      { type: 'say-start', id: 1, text: 'Hello to you' },
      { type: 'say-word', id: 1, word: 'Hello', time: 0 },
      { type: 'text', text: ' Hello', time: 0.08 },
      { type: 'say-word', id: 1, word: 'to', time: 0.08 },
      { type: 'text', text: ' to', time: 0.16 },
      { type: 'say-word', id: 1, word: 'you', time: 0.16 },
      { type: 'text', text: ' you', time: 0.24 },
      { type: 'say-end', id: 1, text: 'Hello to you', completed: true },
    ]);
    expect(server.violations).toEqual([]);
  });

  it('throws what its onSession throws, and leaves nothing open', async () => {
    const server = await scriptedServer(speaking);
    const fault = new Error('a listener’s own fault');
    const onSession = () => {
      throw fault;
    };
    const run = async () => {
      for await (const _ of connectStream(server.url, [speech(0.8)], { onSession }));
    };
    await expect(run()).rejects.toBe(fault);
    await new Promise<void>((resolve) => {
      const { socket } = server.peers[0]!;
      if (socket.readyState === socket.CLOSED) resolve();
      else socket.once('close', () => resolve());
    });
  });
});

describe('sayOnly', () => {
  it('is asked for in the query', async () => {
    const server = await scriptedServer((peer) => peer.send(Uint8Array.of(0)));
    const session = await connect(server.url, { sayOnly: true });
    expect(server.peers[0]?.query.get('say_only')).toBe('1');
    await session.close();
  });
});

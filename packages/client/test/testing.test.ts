import { concat } from '@moshi/protocol/audio';
import { describe, expect, it, vi } from 'vitest';
import { type ConnectOptions, connect, type Session, type SessionEvents } from '../src/index';
import {
  compareEnvelopes,
  fakeAudio,
  type ScriptedServer,
  type ServerScript,
  scriptedServer,
  speechLike,
  stockServers,
  tone,
} from '../src/testing/index';

const join = (server: ScriptedServer, options: ConnectOptions = {}) =>
  connect(server.url, { transport: server.transport(), ...options });

function next<E extends keyof SessionEvents>(session: Session, event: E): Promise<Parameters<SessionEvents[E]>[0]> {
  return new Promise((resolve) => session.once(event, resolve as never));
}

/** What the session plays until so many seconds came. */
function reply(session: Session, seconds: number): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  return new Promise((resolve) =>
    session.on('audio', ({ pcm, time }) => {
      parts.push(pcm);
      if (time + pcm.length / 24_000 >= seconds - 1e-6) resolve(concat(parts));
    }),
  );
}

describe('a scripted server', () => {
  it('is talked with as any other, and is told what to say', async () => {
    const server = scriptedServer();
    const session = await join(server, { voice: 'NATF2', prompt: 'You are kind.' });
    const peer = await server.nextPeer();
    expect(Object.fromEntries(peer.query)).toMatchObject({ voice_prompt: 'NATF2.pt', text_prompt: 'You are kind.' });
    const texts: string[] = [];
    session.on('text', ({ text }) => texts.push(text));
    const heard = reply(session, 1.04);
    peer.say('Hello  there.');
    peer.speak(tone(440, 1));
    // 1 s is filled up to whole frames of 80 ms.
    expect((await heard).length).toBe(13 * 1920);
    expect(texts).toEqual([' Hello', ' there.']);
    session.sendAudio(speechLike(0.8));
    await peer.expect('audio');
    session.endTurn();
    expect(await peer.expect('control')).toEqual({ type: 'control', action: 'endTurn' });
    expect(compareEnvelopes(speechLike(0.8), peer.heard, { maxDelayMs: 50 }).correlation).toBeGreaterThan(0.95);
    peer.hangUp(1000, 'bye');
    expect(await next(session, 'closed')).toMatchObject({ code: 1000, reason: 'bye' });
    expect(await peer.left).toBe(1000);
    expect(server.violations).toEqual([]);
    server.assertComplete();
  });

  it('presents itself as its dialect does, with what it announces', async () => {
    const server = scriptedServer(undefined, { dialect: 'moshi-rust', metadata: { instance_name: 'x' } });
    const session = await join(server);
    expect(session.dialect).toBe('moshi-rust');
    expect(session.metadata).toEqual({ instance_name: 'x' });
    await session.close();
    const own = await join(scriptedServer((peer) => peer.handshake(), { extensions: ['say'] }));
    expect([...own.extensions]).toEqual(['say']);
    await own.close();
  });

  it('tells the place in line, and of trouble', async () => {
    const server = scriptedServer(async (peer) => {
      peer.waiting(2);
      peer.waiting(1);
      peer.handshake();
      await peer.expect('control');
      peer.sendRaw(Uint8Array.of(4, 1));
      peer.error('out of memory');
      peer.hangUp(1011);
    });
    const positions: unknown[] = [];
    const session = await join(server, { on: { waiting: ({ position }) => positions.push(position) } });
    const errors: string[] = [];
    session.on('error', ({ code }) => errors.push(code));
    session.endTurn();
    expect((await next(session, 'closed')).error).toMatchObject({ code: 'closed' });
    expect(positions).toEqual([undefined, 2, 1]);
    expect(errors).toEqual(['malformed', 'server', 'closed']);
  });

  it('breaks the network: nothing on its way arrives', async () => {
    const server = scriptedServer();
    const session = await join(server);
    const peer = await server.nextPeer();
    const texts = vi.fn();
    session.on('text', texts);
    peer.say('lost');
    peer.drop();
    expect(await next(session, 'closed')).toMatchObject({ code: 1006 });
    expect(texts).not.toHaveBeenCalled();
    await expect(peer.expect('control')).rejects.toThrow('left before a message "control"');
    peer.say('into the void');
    peer.speak({ seconds: 1 });
  });

  it('ends once for a client that closes and hangs up, and for one that never got through', async () => {
    const server = scriptedServer();
    const ends: number[] = [];
    const dial = (open: () => void) => {
      const transport = server.transport();
      transport.open(server.url, { open, message: () => {}, close: ({ code }) => ends.push(code) });
      return transport;
    };
    await new Promise<void>((resolve) => {
      const transport = dial(() => {
        transport.close(4000, 'bye');
        transport.terminate();
        resolve();
      });
    });
    expect(await (await server.nextPeer()).left).toBe(4000);
    expect(ends).toEqual([4000]);
    dial(() => expect.fail('it was given up before')).terminate();
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(ends).toEqual([4000, 1006]);
  });

  it('stalls: nothing gets through, and then all of it in order', async () => {
    const server = scriptedServer();
    const session = await join(server);
    const peer = await server.nextPeer();
    await next(session, 'message');
    const texts: string[] = [];
    session.on('text', ({ text }) => texts.push(text));
    peer.stall(60);
    peer.say('one two');
    session.endTurn();
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(texts).toEqual([]);
    expect(peer.received).toEqual([]);
    session.sendAudio(speechLike(8));
    // What the network does not take is kept back, then dropped, as with a socket.
    expect(session.metrics.bufferedMs).toBeGreaterThan(0);
    await peer.expect('audio');
    expect(peer.received[0]).toEqual({ type: 'control', action: 'endTurn' });
    expect(texts).toEqual([' one', ' two']);
    await session.close();
    expect(server.violations).toEqual([]);
  });

  it('complains of what did not come, what nobody took, and of bad manners', async () => {
    const strict = scriptedServer(undefined, { strict: true });
    const session = await join(strict);
    const peer = await strict.nextPeer();
    session.pause();
    const missing = peer.expect('ping');
    missing.catch(() => {});
    await vi.waitFor(() => expect(peer.received).toHaveLength(1), 20_000);
    expect(() => strict.assertComplete()).toThrow('no message "ping" came; nobody took a "control"');
    await session.close();
    await expect(missing).rejects.toThrow('left');

    const server = scriptedServer(() => {});
    const rude = server.accept('/api/chat', { send: () => {}, close: () => {}, terminate: () => {} });
    const { received } = await server.nextPeer();
    for (const message of ['hello', Uint8Array.of(3, 9), Uint8Array.of(1, 79, 103)]) rude.message(message);
    expect(received).toEqual([{ type: 'audio', data: Uint8Array.of(79, 103) }]);
    expect(server.violations).toEqual([
      'a WebSocket text frame',
      expect.stringContaining('a message that is none'),
      'audio before the handshake',
      'broken Ogg pages',
    ]);
    expect(() => server.assertComplete()).toThrow('text frame');
  });

  it('ends the connection when its script fails, and tells why', async () => {
    const server = scriptedServer(async (peer) => {
      peer.handshake();
      await peer.expect('control', ({ action }) => action === 'restart');
      throw new Error('no more ideas');
    });
    const session = await join(server);
    session.control('start');
    session.control('restart');
    expect(await next(session, 'closed')).toMatchObject({ code: 1006 });
    expect(server.violations).toEqual(['the script failed: no more ideas']);
  });
});

const families: [string, ServerScript, ConnectOptions, frames: number][] = [
  ['moshi', stockServers.moshi(), {}, 24],
  ['moshi-rust', stockServers.moshiRust(), {}, 23],
  ['personaplex', stockServers.personaPlex(), { voice: 'NATF2', prompt: 'Hi.' }, 25],
  ['moshi-server', stockServers.moshiServer(), {}, 23],
];

describe.each(families)('the stock server of %s', (dialect, script, options, frames) => {
  it('answers in memory as it does behind a socket', async () => {
    const server = scriptedServer(script);
    const session = await join(server, options);
    expect(session.dialect).toBe(dialect);
    let text = '';
    session.on('text', (event) => {
      text += event.text;
    });
    const pcm = speechLike(2);
    const heard = reply(session, frames * 0.08);
    session.sendAudio(pcm);
    expect(compareEnvelopes(pcm, await heard).correlation).toBeGreaterThan(0.9);
    await session.close();
    expect(text).toBe(' hello 😀!');
    server.assertComplete();
  });
});

describe('a resuming server', () => {
  /** One connection by hand: what the server sends, by type and name. */
  function dial(server: ScriptedServer, query = '') {
    const got: string[] = [];
    let token = '';
    const connection = server.accept(`/api/chat?extensions=1${query}`, {
      send: (data) => {
        const bytes = data as Uint8Array;
        const body = () => new TextDecoder().decode(bytes.subarray(1));
        if (bytes[0] === 0x20) {
          const { name, data: about } = JSON.parse(body());
          token = about.token ?? token;
          got.push(name === 'resumable' ? name : `${name} ${JSON.stringify(about)}`);
        } else got.push(bytes[0] === 2 ? body() : `type ${bytes[0]}`);
      },
      close: () => {},
      terminate: () => {},
    });
    return { got, connection, token: () => token };
  }

  it('goes on where the connection broke, once for each token', async () => {
    const server = scriptedServer(stockServers.resuming());
    const first = dial(server);
    const peer = await server.nextPeer();
    peer.say('one two three');
    expect(first.got).toEqual(['type 4', 'resumable', 'type 0', 'type 1', ' one', ' two', ' three']);
    peer.drop();
    peer.say('four');
    const second = dial(server, `&resume=${first.token()}&received=2`);
    await server.nextPeer();
    expect(second.got).toEqual([
      ...['type 4', 'resumed {"heard":0,"next":3,"replayed":3,"taken":0}', 'resumable', 'type 0'],
      ...[' two', ' three', ' four'],
    ]);
    const again = dial(server, `&resume=${first.token()}&received=2`);
    await server.nextPeer();
    expect(again.got).toEqual(['type 4', 'not-resumed {"reason":"unknown"}', 'resumable', 'type 0', 'type 1']);
  });

  it('takes over from a connection that still looks open, and forgets one that said goodbye', async () => {
    const server = scriptedServer(stockServers.resuming({ graceMs: 1000 }));
    const first = dial(server);
    const peer = await server.nextPeer();
    const second = dial(server, `&resume=${first.token()}&received=0`);
    const other = await server.nextPeer();
    expect(await peer.left).toBe(1006);
    expect(second.got).toContain('resumed {"heard":0,"next":1,"replayed":1,"taken":0}');
    second.connection.closed(1000);
    await other.left;
    const third = dial(server, `&resume=${second.token()}&received=0`);
    await server.nextPeer();
    expect(third.got).toContain('not-resumed {"reason":"unknown"}');
  });

  it('has a client that comes back hear every word once', async () => {
    const server = scriptedServer(stockServers.resuming());
    const session = await connect(server.url, { transport: server.transport, reconnect: { delaysMs: [0] } });
    const texts: string[] = [];
    session.on('text', ({ text }) => texts.push(text));
    const peer = await server.nextPeer();
    peer.say('one two');
    await vi.waitUntil(() => texts.length === 2, 20_000);
    peer.say('three');
    peer.drop();
    peer.say('four');
    expect(await next(session, 'resumed')).toMatchObject({ replayedMessages: 2 });
    (await server.nextPeer()).say('five');
    await vi.waitUntil(() => texts.length === 5, 20_000);
    expect(texts).toEqual([' one', ' two', ' three', ' four', ' five']);
    await session.close();
    server.assertComplete();
  });

  it('keeps a conversation for its grace time', async () => {
    const server = scriptedServer(stockServers.resuming({ graceMs: -1 }));
    const first = dial(server);
    (await server.nextPeer()).drop();
    const second = dial(server, `&resume=${first.token()}&received=0`);
    await server.nextPeer();
    expect(second.got).toContain('not-resumed {"reason":"expired"}');
  });
});

it('the example of docs/testing.md holds', async () => {
  const server = scriptedServer();
  const audio = fakeAudio({ microphone: speechLike(2) });
  const session = await connect(server.url, { transport: server.transport, audio: { platform: audio } });
  await session.speaker.start();
  await session.microphone.start();
  const peer = await server.nextPeer();
  peer.echo();
  peer.say('Good morning.');
  await audio.advance(3000);
  expect(compareEnvelopes(speechLike(2), audio.heard).correlation).toBeGreaterThan(0.9);
  session.endTurn();
  expect(await peer.expect('control')).toEqual({ type: 'control', action: 'endTurn' });
  await session.close();
  server.assertComplete();
});

describe('comparing sounds', () => {
  const words = speechLike(4, 3);
  const late = (ms: number) => concat([new Float32Array(ms * 24), words]);

  it('finds by how much one is late, whatever its loudness', () => {
    expect(
      compareEnvelopes(
        words,
        late(420).map((sample) => sample / 3),
      ),
    ).toEqual({
      correlation: expect.closeTo(1, 3),
      delayMs: 420,
    });
    expect(compareEnvelopes(words, late(420), { maxDelayMs: 200 }).correlation).toBeLessThan(0.8);
  });

  it('tells other words, a lost one and silence apart', () => {
    expect(compareEnvelopes(words, speechLike(4, 4)).correlation).toBeLessThan(0.8);
    const cut = concat([words.subarray(0, 48_000), words.subarray(60_000)]);
    expect(compareEnvelopes(words, cut).correlation).toBeLessThan(0.9);
    expect(compareEnvelopes(words, new Float32Array(96_000)).correlation).toBe(0);
    expect(compareEnvelopes(words, new Float32Array(0)).correlation).toBe(0);
  });
});

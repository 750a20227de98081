import { concat } from '@moshi/protocol/audio';
import { afterEach, describe, expect, it } from 'vitest';
import { connect, connectStream, type DialectName, type StreamEvent, type StreamOptions } from '../src/index';
import { closeServers, type Script, scriptedServer, type TestServer } from './support/server';
import { envelopeCorrelation, speech } from './support/signal';
import { krsMetadata, kyutaiPython, kyutaiRust, moshiServerLm, personaPlex } from './support/stock-servers';

afterEach(closeServers);

const stock: [string, () => Script, DialectName, StreamOptions][] = [
  ['Kyutai’s Python server', kyutaiPython, 'moshi', {}],
  ['Kyutai’s moshi-backend', kyutaiRust, 'moshi-rust', {}],
  ['NVIDIA PersonaPlex', personaPlex, 'personaplex', { voice: 'NATF2', prompt: 'You are patient.' }],
  ['moshi-server Lm', moshiServerLm, 'moshi-server', {}],
];

async function converse(server: TestServer, pcm: Float32Array, options: StreamOptions) {
  const events: StreamEvent[] = [];
  for await (const event of connectStream(server.url, [pcm], options)) events.push(event);
  const audio = events.filter((event) => event.type === 'audio');
  const text = events.filter((event) => event.type === 'text');
  return { events, audio, text: text.map((event) => event.text).join(''), reply: concat(audio.map((e) => e.pcm)) };
}

describe.each(stock)('%s', (_, script, dialect, persona) => {
  it.each([['auto'], [dialect]] as const)('is spoken with as %s', async (asked) => {
    const server = await scriptedServer(script());
    const pcm = speech(3);
    const { reply, text, audio } = await converse(server, pcm, { ...persona, dialect: asked });
    expect(server.violations).toEqual([]);
    // Every frame of input has its answer, and nothing else is handed out.
    expect(reply.length).toBe(Math.ceil(pcm.length / 1920) * 1920);
    expect(envelopeCorrelation(pcm, reply)).toBeGreaterThan(0.9);
    expect(text).toBe(' hello 😀!');
    expect(audio.map((event) => event.time)).toEqual(
      audio.map((_, i) => audio.slice(0, i).reduce((sum, e) => sum + e.pcm.length, 0) / 24000),
    );
  });

  it('has its last word heard, and not what it says to the silence after it', async () => {
    const server = await scriptedServer(script());
    const { reply, text } = await converse(server, speech(0.6), persona);
    expect(reply.length).toBe(8 * 1920);
    // Piece 8 belongs to frame 8.
    expect(text).toBe(' hello 😀!');
  });

  it('is recognised by its handshake and metadata', async () => {
    const server = await scriptedServer(script());
    const session = await connect(server.url, persona);
    expect(session.dialect).toBe(dialect);
    expect(session.state).toEqual({ status: 'ready' });
    expect(session.metadata).toEqual(dialect === 'moshi-rust' ? krsMetadata : undefined);
    await session.close();
  });
});

describe('PersonaPlex', () => {
  it('gets the official voice and a blank prompt when there are none', async () => {
    const server = await scriptedServer(personaPlex());
    const session = await connect(server.url, { dialect: 'personaplex', seed: 5 });
    expect(server.peers[0]?.query.get('voice_prompt')).toBe('NATF0.pt');
    expect(server.peers[0]?.query.get('text_prompt')).toBe(' ');
    await session.close();
  });

  it('drops callers without a persona, and the error says what to do', async () => {
    const server = await scriptedServer(personaPlex());
    await expect(connect(server.url)).rejects.toMatchObject({
      code: 'closed',
      message: expect.stringMatching(/1006.*PersonaPlex.*voice.*dialect: 'personaplex'/),
    });
  });

  it('that knows no such voice is explained as that', async () => {
    const server = await scriptedServer(({ socket }) => socket.terminate());
    await expect(connect(server.url, { voice: 'nobody' })).rejects.toMatchObject({
      code: 'closed',
      retryable: false,
      message: expect.stringMatching(/voice.*prompt/),
    });
  });

  it('is sent nothing while it prompts', async () => {
    let prompted = () => {};
    const prompting = new Promise<void>((resolve) => {
      prompted = resolve;
    });
    const server = await scriptedServer(personaPlex(prompting));
    const session = connect(server.url, { dialect: 'personaplex', on: { waiting: () => setTimeout(prompted, 20) } });
    (await session).sendAudio(speech(0.4));
    await (await session).close();
    expect(server.violations).toEqual([]);
  });
});

describe('moshi-backend', () => {
  it('announces itself before the handshake; the event still reaches listeners attached afterwards', async () => {
    const server = await scriptedServer(kyutaiRust());
    const session = await connect(server.url);
    const metadata = await new Promise((resolve) => session.once('metadata', resolve));
    expect(metadata).toEqual(krsMetadata);
    expect(session.extensions.size).toBe(0);
    await expect(session.say('hello')).rejects.toMatchObject({ code: 'unsupported' });
    await session.close();
  });
});

describe('the line at Kyutai’s Python server', () => {
  it('is waited in silently until the caller before leaves', async () => {
    const server = await scriptedServer(kyutaiPython());
    const first = await connect(server.url);
    const states: string[] = [];
    let waits = () => {};
    const waiting = new Promise<void>((resolve) => {
      waits = resolve;
    });
    const second = connect(server.url, {
      on: { waiting: () => waits(), state: (state) => states.push(state.status) },
    });
    await waiting;
    expect(states).toEqual(['waiting']);
    await first.close();
    const session = await second;
    expect(states).toEqual(['waiting', 'ready']);
    await session.close();
    expect(states).toEqual(['waiting', 'ready', 'closing', 'closed']);
    expect(server.violations).toEqual([]);
  });
});

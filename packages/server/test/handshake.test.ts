import { decodeOpusHead, isOpusTags, OggPageReader, opusPacketSamples } from '@moshi/protocol';
import { describe, expect, it } from 'vitest';
import { Client, oggOpus } from './support/client';
import { FakeEngine } from './support/fake-engine';
import { nextSession, serve } from './support/fixture';
import { tone } from './support/signals';

const say = ['Hello', '<0xE2>', '<0x82>', '<0xAC>', null, ' there', '</s>'];

function talkingEngine() {
  return new FakeEngine({
    script: (step, input) => ({ pcm: step === 0 ? null : input, text: say[step] ?? null }),
  });
}

/** The message types a client received, in order. */
const types = (client: Client) => client.messages.map(({ type }) => type);

describe('a conversation', () => {
  it('starts with a handshake of one zero byte and nothing else', async () => {
    const server = await serve({ engine: talkingEngine() });
    const client = await Client.ready(server);
    expect(client.raw.map((bytes) => bytes.toString('hex'))).toEqual(['00']);
  });

  it('gives the handshake only when the engine is open', async () => {
    let open!: () => void;
    const opening = new Promise<void>((resolve) => {
      open = resolve;
    });
    const server = await serve({ engine: new FakeEngine({ opening: () => opening }) });
    const started = nextSession(server);
    const client = await Client.open(server);
    const session = await started;
    expect(session.state.name).toBe('prompting');
    expect(client.messages).toEqual([]);
    open();
    await client.next('handshake');
    expect(session.state.name).toBe('live');
  });

  it('answers F frames with F - 1 audio messages, each before its text, characters whole', async () => {
    const server = await serve({ engine: talkingEngine() });
    const client = await Client.ready(server);
    for (const message of await oggOpus(tone(7, 300))) client.audio(message);
    await client.count('audio', 6);
    await client.count('text', 4);
    expect(types(client)).toEqual([
      'handshake',
      'text', // of step 0, which has no audio
      ...['audio', 'audio', 'audio', 'text', 'audio', 'audio', 'text', 'audio', 'text'],
    ]);
    expect(client.of('text').map(({ text }) => text)).toEqual(['Hello', '€', ' there', '</s>']);
  });

  it('sends the stream of the stock servers: headers in front of the first frame, two pages of 40 ms a frame', async () => {
    const server = await serve({ engine: talkingEngine() });
    const client = await Client.ready(server);
    for (const message of await oggOpus(tone(5, 300))) client.audio(message);
    await client.count('audio', 4);
    const reader = new OggPageReader();
    const messages = client.of('audio').map(({ data }) => reader.push(data));
    expect(messages.map((pages) => pages.length)).toEqual([4, 2, 2, 2]);
    expect(reader.pendingBytes).toBe(0);

    const pages = messages.flat();
    expect(pages.map(({ sequence }) => sequence)).toEqual(pages.map((_, i) => i));
    expect(new Set(pages.map(({ serial }) => serial))).toEqual(new Set([42]));
    expect(pages.map(({ bos }) => bos)).toEqual(pages.map((_, i) => i === 0));
    expect(pages.some(({ eos }) => eos)).toBe(false);
    expect(decodeOpusHead(pages[0]!.body)).toEqual({
      version: 1,
      channels: 1,
      preSkip: 3840,
      inputSampleRate: 48000,
      outputGain: 0,
      mappingFamily: 0,
    });
    expect(isOpusTags(pages[1]!.body)).toBe(true);
    expect(pages.slice(2).map(({ body }) => opusPacketSamples(body, 48000))).toEqual(Array(8).fill(1920));
    expect(pages.slice(2).map(({ granule }) => granule)).toEqual(
      Array.from({ length: 8 }, (_, i) => BigInt(1920 * (i + 1))),
    );
  });

  it('hands the query to the engine and leaves out what is not its business', async () => {
    const engine = new FakeEngine();
    const server = await serve({ engine });
    const query = new URLSearchParams({
      text_temperature: '0.5',
      text_topk: '10',
      seed: '7',
      voice_prompt: 'NATF2.pt',
      text_prompt: 'You are kind.',
      max_steps: '9',
      email: 'a@b.c',
      worker_auth_id: 'x',
      image_url: 'ignored',
      extensions: '1',
    });
    const started = nextSession(server);
    await Client.ready(server, `?${query}`);
    expect(engine.asked).toEqual([
      { textTemperature: 0.5, textTopK: 10, seed: 7, voice: 'NATF2.pt', prompt: 'You are kind.' },
    ]);
    expect((await started).parameters).toMatchObject({ email: 'a@b.c', workerAuthId: 'x', maxSteps: 9 });
  });

  it('tells clients that ask for extensions what it is, once and before the handshake', async () => {
    const engine = new FakeEngine();
    Object.assign(engine.info, { keepsUp: false });
    const server = await serve({ engine });
    const client = await Client.ready(server, '?extensions=1');
    expect(types(client)).toEqual(['metadata', 'handshake']);
    expect(client.of('metadata')[0]!.data).toMatchObject({
      server: 'moshi-js',
      extensions: expect.arrayContaining(['waiting', 'control']),
      ...engine.info,
    });
  });

  it('gives the host both sides of the audio and clean text', async () => {
    const server = await serve({ engine: talkingEngine() });
    const started = nextSession(server);
    const seen = { states: [] as string[], input: 0, output: 0, text: '' };
    server.once('session', (session) => {
      seen.states.push(session.state.name);
      session.on('state', ({ name }) => seen.states.push(name));
    });
    const client = await Client.open(server);
    const session = await started;
    session.on('inputAudio', (pcm) => {
      seen.input += pcm.length;
    });
    session.on('outputAudio', (pcm) => {
      seen.output += pcm.length;
    });
    session.on('text', (text) => {
      seen.text += text;
    });
    const ended = new Promise((resolve) => session.once('closed', resolve));
    await client.next('handshake');
    for (const message of await oggOpus(tone(7, 300))) client.audio(message);
    await client.count('audio', 6);
    await client.count('text', 4);
    expect(session.stats).toMatchObject({ framesIn: 7, framesOut: 6, textPieces: 4 });
    client.socket.close(1000, 'bye');
    expect(await ended).toEqual({ code: 1000, reason: 'bye' });
    expect(seen).toEqual({
      states: ['waiting', 'prompting', 'live', 'closing', 'closed'],
      input: 7 * 1920,
      output: 6 * 1920,
      text: 'Hello€ there</s>',
    });
    expect(server.sessions.size).toBe(0);
  });
});

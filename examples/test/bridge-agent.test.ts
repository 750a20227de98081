import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '@moshi/client';
import { readWav } from '@moshi/protocol/audio';
import { createServer, loopbackEngine, type Server } from '@moshi/server';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Running, start, startExample, startMoshi } from './support/example';
import { type ChatRequest, type FakeOpenAi, fakeOpenAi } from './support/fake-openai';
import { type SpeakingEngine, speakingEngine } from './support/speaking-engine';
import { silence, speech, toneShare, until } from './support/speech';
import { StockClient } from './support/stock-client';

const native = fileURLToPath(new URL('../../packages/engine-cuda/native/build/moshi.node', import.meta.url));
const HOURS = 'We open at nine. On Sundays we are closed.';
const LONG = Array.from({ length: 40 }, (_, i) => `Number ${i} is not the last one.`).join(' ');

/** Answers in pieces as a model does; "count" gets a long answer that takes its time. */
async function* reply({ messages }: ChatRequest): AsyncGenerator<string> {
  const long = messages.at(-1)!.content.includes('count');
  for (const piece of (long ? LONG : HOURS).split(/(?<= )/)) {
    if (long) await new Promise((resolve) => setTimeout(resolve, 20));
    yield piece;
  }
}

/** Everything a page shows, heard through the SDK. */
async function page(url: string) {
  const session = await connect(url);
  const seen = {
    stages: [] as string[],
    heard: [] as string[],
    unspoken: [] as string[],
    text: '',
    said: [] as string[],
  };
  session.on('text', ({ text }) => {
    seen.text += text;
  });
  session.on('say-end', ({ text, completed }) => seen.said.push(completed ? text : `${text}…`));
  session.on('message', (message) => {
    if (message.type !== 'event') return;
    const data = message.data as { stage?: string; state?: string; message?: string; text?: string };
    if (message.name === 'stage') seen.stages.push(`${data.stage} ${data.state}: ${data.message}`);
    if (message.name === 'heard') seen.heard.push(data.text!);
    if (message.name === 'unspoken') seen.unspoken.push(data.text!);
  });
  return { session, seen };
}

const chatUrl = (bridge: Running) => `${bridge.url.replace('http', 'ws').split('/').slice(0, 3).join('/')}/api/chat`;

describe('bridge-agent', () => {
  let engine: SpeakingEngine;
  let moshi: Server;
  let openai: FakeOpenAi;
  const running: Running[] = [];
  const bridge = async (env: Record<string, string> = {}) => {
    const settings = { MOSHI_PORT: String(moshi.address!.port), MOSHI_HOST: '127.0.0.1', SLOTS: '2' };
    const agent = { OPENAI_BASE_URL: openai.baseUrl, OPENAI_API_KEY: openai.key, CHAT_MODEL: 'tiny' };
    const example = await startExample('bridge-agent', { ...settings, ...agent, ...env });
    running.push(example);
    return example;
  };

  beforeAll(async () => {
    engine = speakingEngine();
    moshi = await createServer({ engine, port: 0 });
    openai = await fakeOpenAi(reply);
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((example) => example.stop()));
    openai.chats.length = 0;
    openai.recordings.length = 0;
  });
  afterAll(async () => {
    await moshi?.close();
    await openai?.close();
  });

  it('answers the text of a stock client with text and speech', async () => {
    const client = await StockClient.open(chatUrl(await bridge({ PROMPT: 'You are a clerk.' })));
    expect(client.handshakes).toBe(1);
    expect(engine.opened.at(-1)).toMatchObject({ prompt: 'You are a clerk.' });
    expect(engine.opened.at(-1)!.sayOnly).toBeFalsy();
    // It has no microphone: the text alone has to do.
    client.sendText('When do you open?');
    await until(() => client.text.trim() === HOURS);
    expect(openai.chats[0]).toMatchObject({ model: 'tiny', stream: true });
    expect(openai.chats[0]!.messages.at(-1)).toEqual({ role: 'user', content: 'When do you open?' });
    await until(() => client.heard.length > 20 * 1920);
    const tone = client.heard.findIndex((sample) => Math.abs(sample) > 0.1);
    expect(toneShare(client.heard.slice(tone + 300, tone + 3000), 440)).toBeGreaterThan(0.9);

    client.text = '';
    client.sendText('And today?');
    await until(() => client.text.trim() === HOURS);
    expect(openai.chats[1]!.messages.slice(1)).toEqual([
      { role: 'user', content: 'When do you open?' },
      { role: 'assistant', content: HOURS },
      { role: 'user', content: 'And today?' },
    ]);
    expect(client.errors).toEqual([]);
    await client.close();
    await until(() => moshi.sessions.size === 0);
  });

  it('understands speech, and stops to speak when the user begins to', async () => {
    const { session, seen } = await page(chatUrl(await bridge({ TRANSCRIBE_MODEL: 'ears' })));
    expect(engine.opened.at(-1)).toMatchObject({ sayOnly: true });
    await talk(session, speech(1.2), silence(1.2));
    await until(() => seen.heard[0] === 'what time is it');
    const { model, wav } = openai.recordings[0]!;
    expect(model).toBe('ears');
    expect(readWav(wav).sampleRate).toBe(24_000);
    expect(readWav(wav).pcm.length / 24_000).toBeGreaterThan(1);
    await until(() => seen.said.length === 2);
    expect(seen.said.join(' ')).toBe(HOURS);

    const counting = session.say('count, please');
    expect(await counting).toMatchObject({ text: '' });
    await until(() => seen.text.includes('Number 1'));
    await talk(session, speech(1));
    await until(() => seen.stages.includes('agent ok: interrupted') || seen.said.some((text) => text.endsWith('…')));
    await until(() => engine.commands.includes('interrupt'));
    await talk(session, silence(1.2));
    await until(() => openai.chats.length === 3);
    // Only what was really spoken became part of the conversation.
    const spoken = openai.chats[2]!.messages.at(-2)!;
    expect(spoken.role).toBe('assistant');
    expect(LONG.startsWith(spoken.content)).toBe(true);
    expect(seen.text).toContain(spoken.content);
    await session.close();
  });

  it('is quiet when told to, and goes on with the next question', async () => {
    const { session, seen } = await page(chatUrl(await bridge()));
    void session.say('count, please');
    await until(() => seen.text.includes('Number 2'));
    session.interrupt();
    await until(() => seen.stages.at(-1) === 'speech ok: interrupted');
    expect(seen.stages).toContain('agent ok: interrupted');
    const { length } = seen.text;
    void session.say('When do you open?');
    await until(() => seen.text.endsWith(HOURS));
    expect(seen.text.length - length).toBeLessThan(HOURS.length + 40);
    await session.close();
  });

  it.skipIf(!existsSync(native))('speaks with the engine of the moshi command, in a process of its own', async () => {
    const real = await startMoshi('--quiet');
    running.push(real);
    const client = await StockClient.open(chatUrl(await bridge({ MOSHI_PORT: String(real.port), SAY_ONLY: '1' })));
    client.speak();
    client.sendText('When do you open?');
    await until(() => client.text.trim() === HOURS);
    expect(client.heard.some((sample) => Math.abs(sample) > 0.01)).toBe(true);
    await client.close();
  });

  it('shows what is wrong: no Moshi, no key, a wrong key', async () => {
    const port = await freePort();
    const lonely = await bridge({ MOSHI_PORT: String(port), OPENAI_BASE_URL: '', OPENAI_API_KEY: '' });
    const status = await (await fetch(new URL('/status', lonely.url))).json();
    expect(status.moshi).toMatchObject({ state: 'error', message: expect.stringContaining('set MOSHI_HOST') });
    expect(status.agent).toMatchObject({ state: 'error', message: expect.stringContaining('OPENAI_API_KEY') });
    const client = await StockClient.open(chatUrl(lonely));
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(client.errors.join()).toContain('cannot reach');
    await client.close();

    const { session, seen } = await page(chatUrl(await bridge({ OPENAI_API_KEY: 'wrong' })));
    void session.say('Hello?');
    await until(() => seen.stages.some((stage) => /^agent error: .*401: Incorrect API key/.test(stage)));
    await session.close();
  });

  it('shows the answer of the agent when Moshi cannot speak it', async () => {
    const deaf = await createServer({ engine: loopbackEngine(), port: 0 });
    const { session, seen } = await page(chatUrl(await bridge({ MOSHI_URL: deaf.url, TEST_PAGE: '0' })));
    void session.say('When do you open?');
    await until(() => seen.unspoken.join(' ') === HOURS);
    expect(seen.stages.filter((stage) => /^speech error: .*cannot speak/.test(stage)).length).toBe(2);
    expect((await fetch(new URL('/status', running[0]!.url))).status).toBe(404);
    await session.close();
    await deaf.close();
  });

  it('needs no Moshi with TEXT_ONLY, and serves the page and what it needs', async () => {
    const port = await freePort();
    const textOnly = await bridge({ TEXT_ONLY: '1', MOSHI_PORT: String(port) });
    const client = await StockClient.open(chatUrl(textOnly));
    client.sendText('When do you open?');
    await until(() => client.text.trim() === HOURS);
    expect(client.heard.length).toBe(0);
    await client.close();
    const html = await fetch(new URL('/', textOnly.url));
    expect(html.url).toMatch(/\/test-voice$/);
    expect(await html.text()).toContain('<title>Talk to the agent</title>');
    const script = await fetch(new URL('/moshi-client.js', textOnly.url));
    expect(script.headers.get('content-type')).toContain('text/javascript');
    expect(await script.text()).toMatch(/export\s*\{.*connect.*\}/);
  });

  it('is three files that need nothing but Node, as in its container', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-bridge-'));
    try {
      const build = start(['--import', 'tsx', 'examples/bridge-agent/build.ts', folder], {});
      await expect(build).rejects.toThrow(/ended with 0/);
      const env = { TEXT_ONLY: '1', OPENAI_BASE_URL: openai.baseUrl, OPENAI_API_KEY: openai.key };
      const container = await start(['main.mjs'], env, folder);
      running.push(container);
      const { session, seen } = await page(chatUrl(container));
      void session.say('When do you open?');
      await until(() => seen.text.trim() === HOURS);
      expect(seen.stages.at(-1)).toBe('speech ok: quiet');
      await session.close();
      expect((await fetch(new URL('/moshi-client.js', container.url))).status).toBe(200);
      expect((await fetch(new URL('/healthz', container.url))).status).toBe(200);
      expect(await container.stop()).toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

/** Speaks in real time, as a microphone does. */
async function talk(session: { sendAudio(pcm: Float32Array): void }, ...parts: Float32Array[]): Promise<void> {
  for (const pcm of parts) {
    for (let at = 0; at < pcm.length; at += 1920) {
      session.sendAudio(pcm.slice(at, at + 1920));
      await new Promise((resolve) => setTimeout(resolve, 80));
    }
  }
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createNetServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

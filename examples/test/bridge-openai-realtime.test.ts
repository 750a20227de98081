import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { concat, muLaw, pcm16, resample } from '@moshi/protocol/audio';
import { createServer, type Server } from '@moshi/server';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import type { RealtimeServerEvent } from 'openai/resources/realtime/realtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Running, startExample } from './support/example';
import { ANSWER, type SpeakingEngine, speakingEngine } from './support/speaking-engine';
import { silence, speech, toneShare, until } from './support/speech';

const run = promisify(execFile);
const MODEL = 'gpt-realtime';
const KEY = 'sk-local';

/** The official client, unmodified, and all it was sent. */
class Client {
  readonly events: RealtimeServerEvent[] = [];
  readonly errors: string[] = [];
  readonly socket: OpenAIRealtimeWS;

  constructor(bridge: Running, ca: Buffer, apiKey = KEY) {
    const client = new OpenAI({ apiKey, baseURL: `https://localhost:${bridge.port}/v1` });
    this.socket = new OpenAIRealtimeWS({ model: MODEL, options: { ca } }, client);
    this.socket.on('event', (event) => this.events.push(event));
    this.socket.on('error', (error) => this.errors.push(error.message));
  }

  /** Waits for the next event of a type and takes it out. */
  async take<T extends RealtimeServerEvent['type']>(type: T): Promise<Extract<RealtimeServerEvent, { type: T }>> {
    const event = await until(() => this.events.find((each) => each.type === type));
    this.events.splice(this.events.indexOf(event), 1);
    return event as Extract<RealtimeServerEvent, { type: T }>;
  }

  /** The whole of the next response. */
  async response() {
    const { id } = (await this.take('response.created')).response;
    const done = await this.take('response.done');
    expect(done.response.id).toBe(id);
    const events = this.events.filter((event) => 'response_id' in event && event.response_id === id);
    const deltas = (type: string) => events.flatMap((e) => (e.type === type && 'delta' in e ? [String(e.delta)] : []));
    return {
      status: done.response.status,
      types: [...new Set(events.map(({ type }) => type))],
      text: deltas('response.output_audio_transcript.delta').join('').trim(),
      sound: Buffer.concat(deltas('response.output_audio.delta').map((delta) => Buffer.from(delta, 'base64'))),
      item: done.response.output?.[0] as { content?: { transcript?: string }[] } | undefined,
    };
  }

  /** The items of one side. */
  added(role: string): { id?: string; content?: unknown }[] {
    return this.events.flatMap((event) =>
      event.type === 'conversation.item.added' && (event.item as { role?: string }).role === role ? [event.item] : [],
    );
  }

  append(bytes: Uint8Array): void {
    this.socket.send({ type: 'input_audio_buffer.append', audio: Buffer.from(bytes).toString('base64') });
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.socket.socket.once('close', resolve));
    this.socket.close();
    await closed;
  }
}

/** Where a tone is loud in 24 kHz sound. */
function loudest(pcm: Float32Array): Float32Array {
  const start = pcm.findIndex((sample) => Math.abs(sample) > 0.1);
  return pcm.slice(start + 300, start + 3000);
}

describe('bridge-openai-realtime', () => {
  let engine: SpeakingEngine;
  let moshi: Server;
  let bridge: Running;
  let plain: Running;
  let folder: string;
  let ca: Buffer;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moshi-realtime-'));
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost';
    const names = '-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out cert.pem';
    await run('openssl', `${request} ${names}`.split(' '), { cwd: folder });
    ca = await readFile(join(folder, 'cert.pem'));
    engine = speakingEngine();
    moshi = await createServer({ engine, port: 0 });
    [bridge, plain] = await Promise.all([
      startExample('bridge-openai-realtime', { MOSHI_URL: moshi.url, TLS_DIR: folder, KEY }),
      startExample('bridge-openai-realtime', { MOSHI_URL: moshi.url }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([bridge?.stop(), plain?.stop()]);
    await moshi?.close();
    await rm(folder, { recursive: true });
  });

  it('talks with the official client: persona, speech in, turns, audio and transcript out', async () => {
    const client = new Client(bridge, ca);
    expect((await client.take('session.created')).session).toMatchObject({ type: 'realtime', model: MODEL });
    client.socket.send({
      type: 'session.update',
      session: {
        type: 'realtime',
        instructions: 'You are a patient teacher.',
        audio: { input: { format: { type: 'audio/pcm', rate: 24000 } }, output: { voice: 'NATF0' } },
      },
    });
    expect((await client.take('session.updated')).session).toMatchObject({
      instructions: 'You are a patient teacher.',
      audio: { output: { voice: 'NATF0' } },
    });

    // All at once, as programs send recordings: Moshi hears it in real time nevertheless.
    const sound = pcm16.encode(concat([silence(0.2), speech(1.5), silence(1)]));
    const began = performance.now();
    for (let at = 0; at < sound.length; at += 9600) client.append(sound.subarray(at, at + 9600));
    const started = await client.take('input_audio_buffer.speech_started');
    const stopped = await client.take('input_audio_buffer.speech_stopped');
    expect(stopped.item_id).toBe(started.item_id);
    expect(stopped.audio_end_ms).toBeGreaterThan(started.audio_start_ms);
    expect((await client.take('input_audio_buffer.committed')).item_id).toBe(started.item_id);
    await until(() => client.added('user').find(({ id }) => id === started.item_id));
    expect(engine.opened.at(-1)).toMatchObject({ prompt: 'You are a patient teacher.', voice: 'NATF0' });

    const { status, text, item, types, sound: answer } = await client.response();
    expect({ status, text }).toEqual({ status: 'completed', text: ANSWER });
    const heardMs = [...moshi.sessions][0]!.stats.framesIn * 80;
    expect(heardMs).toBeLessThan(performance.now() - began + 500);
    // Three words and the pause after them, no more.
    expect(answer.length / 48_000).toBeLessThan(2);
    expect(item?.content?.[0]?.transcript).toBe(ANSWER);
    expect(toneShare(loudest(pcm16.decode(answer)), 440)).toBeGreaterThan(0.9);
    expect(types.sort()).toEqual([
      'response.content_part.added',
      'response.content_part.done',
      'response.output_audio.delta',
      'response.output_audio.done',
      'response.output_audio_transcript.delta',
      'response.output_audio_transcript.done',
      'response.output_item.added',
      'response.output_item.done',
    ]);
    expect(client.errors).toEqual([]);
    await client.close();
    await until(() => moshi.sessions.size === 0);
  });

  it('speaks on demand, word for word or its own, and stops when told to', async () => {
    const client = new Client(bridge, ca);
    await client.take('session.created');
    // A voice that only OpenAI has is no reason to fail.
    client.socket.send({
      type: 'session.update',
      session: { type: 'realtime', audio: { output: { voice: 'marin' } } },
    });
    client.socket.send({
      type: 'response.create',
      response: { instructions: 'Say exactly: "Your order has shipped."' },
    });
    expect(await client.response()).toMatchObject({ status: 'completed', text: 'Your order has shipped.' });

    const content = [{ type: 'input_text' as const, text: 'Hello?' }];
    client.socket.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
    await until(() => client.added('user').length === 1);
    expect(client.added('user')[0]).toMatchObject({ content });
    client.socket.send({ type: 'response.create' });
    expect(await client.response()).toMatchObject({ status: 'completed', text: ANSWER });
    expect(engine.commands.at(-1)).toBe('endTurn');

    const long = Array.from({ length: 50 }, (_, i) => `word${i}`).join(' ');
    client.socket.send({ type: 'response.create', response: { instructions: `Say: ${long}` } });
    await until(() => client.events.find((event) => event.type === 'response.output_audio_transcript.delta'));
    client.socket.send({ type: 'response.cancel' });
    const cancelled = await client.response();
    expect(cancelled.status).toBe('cancelled');
    expect(long.startsWith(cancelled.text)).toBe(true);
    await until(() => engine.commands.at(-1) === 'interrupt');
    expect(client.errors).toEqual([]);

    client.socket.send({ type: 'response.cancel' });
    await until(() => client.errors.length === 1);
    expect(client.errors[0]).toContain('no response to cancel');
    await client.close();
  });

  it('hears and speaks µ-law in the shapes of the beta', async () => {
    const headers = { 'OpenAI-Beta': 'realtime=v1' };
    const socket = new WebSocket(`ws://127.0.0.1:${plain.port}/v1/realtime?model=gpt-4o-realtime-preview`, { headers });
    // biome-ignore lint/suspicious/noExplicitAny: any JSON, looked at by the checks below
    const events: Record<string, any>[] = [];
    socket.on('message', (data) => events.push(JSON.parse(data.toString())));
    const first = (type: string) => until(() => events.find((event) => event.type === type));
    expect((await first('session.created')).session).toMatchObject({ input_audio_format: 'pcm16', voice: '' });
    const send = (event: object) => socket.send(JSON.stringify(event));
    send({
      type: 'session.update',
      session: {
        voice: 'NATF0',
        input_audio_format: 'g711_ulaw',
        output_audio_format: 'g711_ulaw',
        turn_detection: null,
      },
    });
    expect((await first('session.updated')).session).toMatchObject({
      output_audio_format: 'g711_ulaw',
      turn_detection: null,
    });
    const sound = muLaw.encode(resample(concat([speech(1), silence(0.8)]), 24_000, 8000));
    send({ type: 'input_audio_buffer.append', audio: Buffer.from(sound).toString('base64') });
    send({ type: 'input_audio_buffer.commit' });
    await first('input_audio_buffer.committed');
    await first('response.done');
    const of = (type: string) => events.filter((event) => event.type === type).map(({ delta }) => delta);
    expect(of('response.audio_transcript.delta').join('').trim()).toBe(ANSWER);
    const answer = muLaw.decode(Buffer.concat(of('response.audio.delta').map((delta) => Buffer.from(delta, 'base64'))));
    const tone = answer.findIndex((sample) => Math.abs(sample) > 0.1);
    expect(toneShare(answer.slice(tone + 100, tone + 1100), 440, 8000)).toBeGreaterThan(0.9);
    expect(events.map(({ type }) => type)).not.toContain('input_audio_buffer.speech_started');
    expect(events.some(({ type }) => /output_audio|conversation\.item\.added/.test(type))).toBe(false);
    socket.close();
  });

  it('says what is wrong: bad events, unknown formats, unknown voices, wrong keys', async () => {
    const client = new Client(bridge, ca);
    await client.take('session.created');
    client.socket.socket.send('no JSON');
    client.socket.send({ type: 'session.update', session: { type: 'transcription' } });
    const pcma = { audio: { input: { format: { type: 'audio/pcma' as const } } } };
    client.socket.send({ type: 'session.update', session: { type: 'realtime', ...pcma } });
    await until(() => client.errors.length === 3);
    expect(client.errors[1]).toContain('only "realtime" works');
    expect(client.errors[2]).toContain('use audio/pcm or audio/pcmu');
    const voice = { audio: { output: { voice: 'nobody' } } };
    client.socket.send({ type: 'session.update', session: { type: 'realtime', ...voice } });
    client.append(pcm16.encode(silence(0.1)));
    await until(() => client.errors.length === 4);
    expect(client.errors[3]).toContain('NATF0');

    const stranger = new Client(bridge, ca, 'sk-wrong');
    await until(() => stranger.errors.length > 0);
    expect(stranger.errors[0]).toContain('401');
  });
});

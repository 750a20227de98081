import { createHmac } from 'node:crypto';
import { concat, muLaw, resample } from '@moshi/protocol/audio';
import { createServer, type Server } from '@moshi/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Running, startExample } from './support/example';
import { ANSWER, type SpeakingEngine, speakingEngine } from './support/speaking-engine';
import { silence, speech, toneShare, until } from './support/speech';

const TOKEN = '12345';
const PUBLIC = 'https://voice.example.com';
const STREAM = 'MZ18ad3ab5a668481ce02b83e7395059f0';

function signature(address: string, form: Record<string, string> = {}): string {
  const fields = Object.keys(form).sort();
  return createHmac('sha1', TOKEN)
    .update(address + fields.map((name) => name + form[name]).join(''))
    .digest('base64');
}

/** Twilio's side of a call, with the messages as Twilio sends them. */
class Twilio {
  readonly media: Float32Array[] = [];
  readonly events: string[] = [];
  readonly marks: string[] = [];
  readonly closed: Promise<number>;
  /** Whether the caller's phone plays what arrives; when not, nothing is marked as played. */
  playing = true;
  readonly #socket: WebSocket;
  #sequence = 1;
  #chunk = 1;

  constructor(url: string, headers: Record<string, string>) {
    this.#socket = new WebSocket(url, { headers });
    this.#socket.on('message', (data) => this.#receive(JSON.parse(data.toString())));
    this.closed = new Promise((resolve) => this.#socket.on('close', resolve));
  }

  opened(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#socket.once('open', resolve).once('error', reject));
  }

  start(customParameters: Record<string, string> = {}): void {
    this.#socket.send(JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }));
    this.#send('start', {
      accountSid: 'ACxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
      streamSid: STREAM,
      callSid: 'CAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
      tracks: ['inbound'],
      mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
      customParameters,
    });
  }

  /** Speaks 24 kHz sound into the phone, 20 ms a message, in real time. */
  async speak(pcm: Float32Array): Promise<void> {
    const sound = muLaw.encode(resample(pcm, 24_000, 8000));
    const began = performance.now();
    for (let at = 0; at + 160 <= sound.length; at += 160) {
      const payload = Buffer.from(sound.subarray(at, at + 160)).toString('base64');
      this.#send('media', {
        track: 'inbound',
        chunk: String(this.#chunk),
        timestamp: String(this.#chunk++ * 20),
        payload,
      });
      while (performance.now() - began < (at / 8000) * 1000) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  press(digit: string): void {
    this.#send('dtmf', { track: 'inbound_track', digit });
  }

  hangUp(): void {
    this.#send('stop', { accountSid: 'ACxx', callSid: 'CAxx' });
  }

  #send(event: string, content: object): void {
    const sequenceNumber = String(this.#sequence++);
    this.#socket.send(JSON.stringify({ event, sequenceNumber, [event]: content, streamSid: STREAM }));
  }

  // biome-ignore lint/suspicious/noExplicitAny: any JSON, looked at by the checks below
  #receive(message: Record<string, any>): void {
    expect(message.streamSid).toBe(STREAM);
    this.events.push(message.event);
    if (message.event === 'media') this.media.push(muLaw.decode(Buffer.from(message.media.payload, 'base64')));
    if (message.event !== 'mark') return;
    this.marks.push(message.mark.name);
    if (this.playing) this.#send('mark', message.mark);
  }
}

describe('bridge-twilio', () => {
  let engine: SpeakingEngine;
  let moshi: Server;
  let bridge: Running;
  const stream = { 'x-twilio-signature': signature('wss://voice.example.com/media') };
  const voice = (headers: Record<string, string>, form: Record<string, string>) =>
    fetch(`${bridge.url}/voice`, { method: 'POST', headers, body: new URLSearchParams(form) });

  beforeAll(async () => {
    engine = speakingEngine();
    moshi = await createServer({ engine, port: 0 });
    const greeting = { GREETING: 'Good morning.', PROMPT: 'You are a clerk.' };
    const keys = { TWILIO_AUTH_TOKEN: TOKEN, PUBLIC_URL: PUBLIC };
    bridge = await startExample('bridge-twilio', { MOSHI_URL: moshi.url, ...greeting, ...keys });
  });
  afterAll(async () => {
    await bridge?.stop();
    await moshi?.close();
  });

  it('tells Twilio where to stream, and nobody else', async () => {
    const form = { CallSid: 'CA1', From: '+15550100', To: '+15550101' };
    const good = await voice({ 'x-twilio-signature': signature(`${PUBLIC}/voice`, form) }, form);
    expect(good.headers.get('content-type')).toBe('text/xml');
    expect(await good.text()).toContain('<Connect><Stream url="wss://voice.example.com/media"/></Connect>');
    expect((await voice({}, form)).status).toBe(403);
    const other = { 'x-twilio-signature': signature(`${PUBLIC}/voice`, { ...form, From: '+15550199' }) };
    expect((await voice(other, form)).status).toBe(403);
    await expect(new Twilio(`${bridge.url.replace('http', 'ws')}/media`, {}).opened()).rejects.toThrow('403');
  });

  it('holds a call: greeting, answer, keys, barge-in, end', async () => {
    const twilio = new Twilio(`${bridge.url.replace('http', 'ws')}/media`, stream);
    await twilio.opened();
    twilio.start({ voice: 'NATF0' });
    await until(() => moshi.sessions.size === 1 && [...moshi.sessions][0]!.state.name === 'live');
    expect(engine.opened.at(-1)).toMatchObject({ voice: 'NATF0', prompt: 'You are a clerk.' });
    const said: string[] = [];
    [...moshi.sessions][0]!.on('text', (text) => said.push(text));

    // The greeting, which a slow machine begins late, then what the caller says and the model's own answer to it.
    while (!said.join('').includes('morning.')) await twilio.speak(silence(0.2));
    await twilio.speak(concat([silence(0.6), speech(1.5), silence(2)]));
    await until(() => said.join('').includes(ANSWER));
    expect(said.join('').trim()).toMatch(/^Good morning\. /);
    const heard = concat(twilio.media);
    expect(heard.length / 8000).toBeGreaterThan(3);
    const tone = heard.findIndex((sample) => Math.abs(sample) > 0.1);
    expect(toneShare(heard.slice(tone + 200, tone + 1000), 440, 8000)).toBeGreaterThan(0.9);
    expect(twilio.marks).toEqual(twilio.marks.map((_, i) => String(i + 1)));
    expect(twilio.events).not.toContain('clear');

    // A key repeats the greeting; the caller talks over it while Twilio still has sound to play.
    said.length = 0;
    engine.commands.length = 0;
    twilio.playing = false;
    twilio.press('0');
    while (!said.join('').includes('Good')) await twilio.speak(silence(0.1));
    await twilio.speak(speech(1));
    await until(() => twilio.events.includes('clear'));
    await until(() => engine.commands.includes('interrupt'));
    expect(said.join('').trim()).toMatch(/^Good/);

    twilio.hangUp();
    await twilio.closed;
    await until(() => moshi.sessions.size === 0);
  });

  it('hangs up when Moshi has no such voice, and says why in its log', async () => {
    const twilio = new Twilio(`${bridge.url.replace('http', 'ws')}/media`, stream);
    await twilio.opened();
    twilio.start({ voice: 'nobody' });
    expect(await twilio.closed).toBe(1011);
    await until(() => bridge.output().includes('NATF0'));
  });
});

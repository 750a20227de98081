// Phone calls: Twilio Media Streams (8 kHz µ-law in JSON) on one side, Moshi on the other.
//
//   PUBLIC_URL=https://your-name.ngrok.app TWILIO_AUTH_TOKEN=… npx tsx examples/bridge-twilio/main.ts
//
// In Twilio's console set the number's "A call comes in" webhook to POST PUBLIC_URL/voice.
// Also: MOSHI_URL (ws://localhost:8998), PORT (8080), HOST, VOICE, PROMPT, GREETING (spoken first; key 0 repeats it).
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Session } from '@moshi/client';
import { muLaw, Resampler } from '@moshi/protocol/audio';
import { type WebSocket, WebSocketServer } from 'ws';
import { SpeechDetector } from '../common/speech-detector.ts';

const { env } = process;
const moshiUrl = env.MOSHI_URL || 'ws://localhost:8998';
const publicUrl = (env.PUBLIC_URL || '').replace(/\/+$/, '');
const PHONE_RATE = 8000;
const MOSHI_RATE = 24_000;

/** The messages of Twilio that matter here; all have more fields. */
type TwilioMessage =
  | { event: 'connected' }
  | { event: 'start'; streamSid: string; start: { callSid: string; customParameters?: Record<string, string> } }
  | { event: 'media'; media: { track: string; payload: string } }
  | { event: 'mark'; mark: { name: string } }
  | { event: 'dtmf'; dtmf: { digit: string } }
  | { event: 'stop' };

/** One phone call, from Twilio's `start` to its `stop`. */
class Call {
  readonly #socket: WebSocket;
  readonly #streamSid: string;
  readonly #toMoshi = new Resampler(PHONE_RATE, MOSHI_RATE);
  readonly #toPhone = new Resampler(MOSHI_RATE, PHONE_RATE);
  readonly #caller = new SpeechDetector({ sampleRate: PHONE_RATE });
  #session: Session | undefined;
  /** Marks sent, and the last one that came back: between them is what the caller has not heard yet. */
  #sent = 0;
  #played = 0;

  constructor(socket: WebSocket, streamSid: string) {
    this.#socket = socket;
    this.#streamSid = streamSid;
  }

  /** Calls Moshi. What the caller says before Moshi is ready is not kept: it would stay behind as delay. */
  async open(parameters: Record<string, string>, signal: AbortSignal): Promise<void> {
    const session = await connect(moshiUrl, {
      voice: parameters.voice || env.VOICE || undefined,
      prompt: parameters.prompt || env.PROMPT || undefined,
      // A caller who hears nothing hangs up and calls again.
      reconnect: false,
      signal,
    });
    this.#session = session;
    session.on('audio', ({ pcm }) => this.#play(pcm));
    session.on('error', (error) => console.error(`${this.#streamSid}: ${error.message}`));
    session.on('closed', () => this.#socket.close());
    this.#greet();
  }

  /** 20 ms of the caller: one frame in makes one frame out, so the phone's own clock paces the model. */
  hear(payload: string): void {
    const pcm = muLaw.decode(Buffer.from(payload, 'base64'));
    this.#session?.sendAudio(this.#toMoshi.push(pcm));
    if (this.#caller.push(pcm)?.type === 'started') this.#bargeIn();
  }

  /** The caller has heard everything up to this mark. */
  heard(mark: string): void {
    this.#played = Math.max(this.#played, Number(mark) || 0);
  }

  press(digit: string): void {
    console.log(`${this.#streamSid}: key ${digit}`);
    if (digit === '0') this.#greet();
  }

  close(): void {
    void this.#session?.close();
  }

  #greet(): void {
    if (!env.GREETING) return;
    this.#session?.say(env.GREETING).catch((error) => console.error(`${this.#streamSid}: ${error.message}`));
  }

  #play(pcm: Float32Array): void {
    const sound = muLaw.encode(this.#toPhone.push(pcm));
    if (sound.length === 0) return;
    this.#send({ event: 'media', media: { payload: Buffer.from(sound).toString('base64') } });
    // Comes back when this piece has been played to the caller.
    this.#send({ event: 'mark', mark: { name: String(++this.#sent) } });
  }

  /** The caller speaks: what waits at Twilio to be played is dropped, and text being spoken is broken off. */
  #bargeIn(): void {
    if (this.#sent > this.#played) this.#send({ event: 'clear' });
    if (this.#session?.extensions.has('say')) this.#session.interrupt();
  }

  #send(message: object): void {
    if (this.#socket.readyState === this.#socket.OPEN) {
      this.#socket.send(JSON.stringify({ ...message, streamSid: this.#streamSid }));
    }
  }
}

function answer(socket: WebSocket): void {
  let call: Call | undefined;
  const over = new AbortController();
  socket.on('message', (data) => {
    let message: TwilioMessage;
    try {
      message = JSON.parse(data.toString());
    } catch {
      socket.close(1003, 'JSON expected');
      return;
    }
    if (message.event === 'start' && !call) {
      const { callSid, customParameters = {} } = message.start;
      console.log(`${message.streamSid}: call ${callSid}`);
      call = new Call(socket, message.streamSid);
      call.open(customParameters, over.signal).catch((error) => {
        if (!over.signal.aborted) console.error(`${callSid}: no Moshi: ${error.message}`);
        socket.close(1011, 'Moshi cannot be reached');
      });
    } else if (message.event === 'media' && message.media.track !== 'outbound') call?.hear(message.media.payload);
    else if (message.event === 'mark') call?.heard(message.mark.name);
    else if (message.event === 'dtmf') call?.press(message.dtmf.digit);
    else if (message.event === 'stop') socket.close();
  });
  socket.on('error', (error) => console.error(error.message));
  socket.on('close', () => {
    over.abort();
    call?.close();
  });
}

/** Whether Twilio signed this: HMAC-SHA1 over the public address and the sorted form fields, with the account's token. */
function signed(request: IncomingMessage, scheme: 'http' | 'ws', fields = new URLSearchParams()): boolean {
  if (!env.TWILIO_AUTH_TOKEN) return true;
  const address = base(request).replace(/^http/, scheme) + request.url;
  const sorted = [...fields].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const expected = createHmac('sha1', env.TWILIO_AUTH_TOKEN)
    .update(address + sorted.flat().join(''))
    .digest();
  const given = Buffer.from(String(request.headers['x-twilio-signature'] ?? ''), 'base64');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** Our address as Twilio knows it. */
function base(request: IncomingMessage): string {
  return publicUrl || `https://${request.headers['x-forwarded-host'] ?? request.headers.host}`;
}

async function voice(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = '';
  for await (const part of request.setEncoding('utf8')) {
    body += part;
    if (body.length > 65_536) throw new Error('the form is too long');
  }
  if (!signed(request, 'http', new URLSearchParams(body))) {
    response.writeHead(403).end('The signature is not Twilio’s: check TWILIO_AUTH_TOKEN and PUBLIC_URL.\n');
    return;
  }
  // <Stream> takes no query; values for the stream travel as <Parameter name="prompt" value="…"/> inside it.
  const stream = `${base(request).replace(/^http/, 'ws')}/media`.replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);
  response.writeHead(200, { 'content-type': 'text/xml' });
  response.end(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Response><Connect><Stream url="${stream}"/></Connect></Response>\n`,
  );
}

const server = createServer((request, response) => {
  if (request.method === 'POST' && request.url === '/voice') {
    voice(request, response).catch((error) => response.writeHead(400).end(`${error.message}\n`));
  } else if (request.url === '/healthz') response.end('ok\n');
  else response.writeHead(404).end('There is nothing here: Twilio posts to /voice and streams to /media.\n');
});
const sockets = new WebSocketServer({ noServer: true, maxPayload: 65_536 });
server.on('upgrade', (request, socket, head) => {
  if (request.url === '/media' && signed(request, 'ws')) sockets.handleUpgrade(request, socket, head, answer);
  else
    socket.end(`HTTP/1.1 ${request.url === '/media' ? '403 Forbidden' : '404 Not Found'}\r\nconnection: close\r\n\r\n`);
});
server.listen(Number(env.PORT || 8080), env.HOST || '127.0.0.1', () => {
  const { port } = server.address() as { port: number };
  console.log(`listening on http://127.0.0.1:${port}, Moshi at ${moshiUrl}`);
  if (!env.TWILIO_AUTH_TOKEN)
    console.log('TWILIO_AUTH_TOKEN is not set: signatures are not checked, anybody may call.');
});

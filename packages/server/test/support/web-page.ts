import { readFileSync } from 'node:fs';
import type { Server } from '@moshi/server';
import { WebSocket } from 'ws';

/** One message as the pages' own decoder understands it. */
type PageMessage =
  | { type: 'handshake' }
  | { type: 'audio'; data: Uint8Array }
  | { type: 'text' | 'error' | 'coloredtext'; data: string }
  | { type: 'control'; action: number }
  | { type: 'metadata'; data: unknown }
  | { type: 'ping' };

/** Which official page: Kyutai's, or NVIDIA's for PersonaPlex. */
export type PageKind = 'kyutai' | 'personaplex';

/** What the pages' settings hold when nobody touched them, in the order they stand in the query. */
const settings: readonly [name: string, value: number][] = [
  ['text_temperature', 0.7],
  ['text_topk', 25],
  ['audio_temperature', 0.8],
  ['audio_topk', 250],
  ['pad_mult', 0],
  ['text_seed', 112_233],
  ['audio_seed', 445_566],
  ['repetition_penalty_context', 64],
  ['repetition_penalty', 1],
];

/** What a page adds to its settings. */
export interface PageParameters {
  workerAuthId?: string;
  email?: string;
  /** Kyutai's page, in vision mode. */
  imageUrl?: string;
  /** PersonaPlex's page. */
  textPrompt?: string;
  /** PersonaPlex's page. */
  voicePrompt?: string;
}

/** The address a page connects to, its query built as the page builds it. */
export function pageUrl(kind: PageKind, server: Server, parameters: PageParameters = {}): string {
  const { workerAuthId, email, imageUrl } = parameters;
  const url = new URL(`${server.url.replace(/^http/, 'ws')}/api/chat`);
  if (workerAuthId) url.searchParams.append('worker_auth_id', workerAuthId);
  if (email) url.searchParams.append('email', email);
  for (const [name, value] of settings) url.searchParams.append(name, value.toString());
  if (kind === 'personaplex') {
    url.searchParams.append(
      'text_prompt',
      parameters.textPrompt ||
        'You are a wise and friendly teacher. Answer questions or provide advice in a clear and engaging way.',
    );
    url.searchParams.append('voice_prompt', parameters.voicePrompt || 'NATF0.pt');
  } else if (imageUrl !== undefined) {
    url.searchParams.append('image_url', imageUrl);
    url.searchParams.append('image_resolution', '224');
  }
  return url.toString();
}

/** Does what the official pages do with their socket, message by message, and nothing they do not. */
export class WebPage {
  readonly kind: PageKind;
  readonly url: string;
  readonly texts: string[] = [];
  readonly errors: string[] = [];
  readonly metadata: unknown[] = [];
  readonly audio: Uint8Array[] = [];
  /** Opus packets as the page's decoder worker finds them. */
  readonly packets: Uint8Array[] = [];
  /** What its message listeners threw. */
  readonly faults: unknown[] = [];
  readonly closes: { code: number; reason: string }[] = [];
  status: 'disconnected' | 'connecting' | 'connected' = 'disconnected';
  readonly #origin: string;
  #socket: WebSocket | undefined;
  #wake: (() => void)[] = [];
  #packet: number[] = [];

  constructor(kind: PageKind, server: Server, parameters?: PageParameters) {
    this.kind = kind;
    this.url = pageUrl(kind, server, parameters);
    this.#origin = server.url;
  }

  /** A page that has had its handshake. */
  static async connected(kind: PageKind, server: Server, parameters?: PageParameters): Promise<WebPage> {
    const page = new WebPage(kind, server, parameters);
    page.start();
    await page.until(() => page.status === 'connected');
    return page;
  }

  /** As on "Connect"; a socket that is still there is closed first. */
  start(): void {
    this.#socket?.close();
    // A browser sends its page's origin and offers compression.
    const socket = new WebSocket(this.url, { origin: this.#origin, perMessageDeflate: true });
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', () => {
      this.status = 'connecting';
    });
    socket.addEventListener('message', ({ data }) => {
      // A browser gives no messages to a socket that is being closed.
      if (socket.readyState === WebSocket.OPEN) this.#received(new Uint8Array(data as ArrayBuffer));
    });
    socket.addEventListener('error', () => {});
    socket.addEventListener('close', ({ code, reason }) => {
      this.closes.push({ code, reason });
      if (this.#socket === socket) this.#socket = undefined;
      if (this.#socket === undefined) this.status = 'disconnected';
      this.#wakeAll();
    });
    this.#socket = socket;
  }

  /** As on "Disconnect". */
  stop(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.status = 'disconnected';
  }

  /** One page of the recorder; dropped unless connected, as the pages do. */
  recorded(page: Uint8Array): void {
    if (this.#socket && this.status === 'connected') this.#socket.send(new Uint8Array([0x01, ...page]));
  }

  /** Waits for something that comes over the socket. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#socket === undefined) throw new Error(`disconnected: ${JSON.stringify([this.closes, this.errors])}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Waits for the end of the connection. */
  async over(): Promise<{ code: number; reason: string }> {
    while (this.closes.length === 0) await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.closes[0]!;
  }

  #received(bytes: Uint8Array): void {
    try {
      this.#take(this.#decode(bytes));
    } catch (error) {
      this.faults.push(error);
    }
    this.#wakeAll();
  }

  #take(message: PageMessage): void {
    if (message.type === 'handshake') this.status = 'connected';
    else if (message.type === 'audio') this.#play(message.data);
    else if (message.type === 'text') this.texts.push(message.data);
    else if (message.type === 'error') this.errors.push(message.data);
    else if (message.type === 'metadata') this.metadata.push(message.data);
  }

  #decode(data: Uint8Array): PageMessage {
    const payload = data.slice(1);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    switch (data[0]) {
      case 0x00:
        return { type: 'handshake' };
      case 0x01:
        return { type: 'audio', data: payload };
      case 0x02:
        return { type: 'text', data: text(payload) };
      case 0x03:
        if (!(payload[0]! < 4)) throw new Error('Unknown control message');
        return { type: 'control', action: payload[0]! };
      case 0x04:
        return { type: 'metadata', data: JSON.parse(text(payload)) };
      case 0x05:
        return { type: 'error', data: text(payload) };
      case 0x06:
        return { type: 'ping' };
      case 0x07:
        if (this.kind === 'kyutai') return { type: 'coloredtext', data: text(payload.slice(1)) };
    }
    throw new Error(`Unknown message type ${data[0]}`);
  }

  /**
   * The page's decoder worker: every "OggS" in a message begins a page, the pages numbered 0 and 1 are headers, checksums, serial and
   * granule are not looked at, and a page may not go on in the next message.
   */
  #play(data: Uint8Array): void {
    this.audio.push(data);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at < view.byteLength - 4; at++) {
      if (view.getUint32(at, true) !== 0x5367_674f || view.getUint32(at + 18, true) <= 1) continue;
      const segments = data.subarray(at + 27, at + 27 + view.getUint8(at + 26));
      let from = at + 27 + segments.length;
      for (const length of segments) {
        this.#packet.push(...data.subarray(from, from + length));
        from += length;
        if (length === 255) continue;
        this.packets.push(Uint8Array.from(this.#packet));
        this.#packet = [];
      }
      if (from > data.length) throw new RangeError('a page goes beyond its message');
    }
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

/** What the pages' recorder gave for 2 s of a 300 Hz tone, page by page; the last one is written when it is stopped. */
export function recorderPages(): Uint8Array[] {
  const bytes = readFileSync(new URL('../fixtures/web-pages/opus-recorder.opus', import.meta.url));
  const starts: number[] = [];
  for (let at = bytes.indexOf('OggS'); at >= 0; at = bytes.indexOf('OggS', at + 1)) starts.push(at);
  return starts.map((start, i) => new Uint8Array(bytes.subarray(start, starts[i + 1])));
}

import { OggOpusDecoder, OggOpusEncoder, type OggOpusEncoderOptions } from '@moshi/opus';
import { type ControlAction, decodeMessage, encodeMessage, type Message } from '@moshi/protocol';
import type { Server } from '@moshi/server';
import { type ClientOptions, WebSocket } from 'ws';

export interface Close {
  code: number;
  reason: string;
}

/** A plain WebSocket client that keeps everything it receives, with the raw bytes. */
export class Client {
  readonly socket: WebSocket;
  readonly raw: Buffer[] = [];
  readonly messages: Message[] = [];
  readonly closed: Promise<Close>;
  #read = 0;
  #wake: (() => void)[] = [];

  constructor(url: string, options: ClientOptions = {}) {
    this.socket = new WebSocket(url, options);
    this.socket.on('message', (data: Buffer) => {
      this.raw.push(data);
      this.messages.push(decodeMessage(data));
      this.#wakeAll();
    });
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#wakeAll();
      });
    });
  }

  /** Connects; resolves with the open connection, before any handshake. */
  static async open(server: Server, query = '', options: ClientOptions = {}): Promise<Client> {
    const client = new Client(chatUrl(server, query), options);
    await new Promise((resolve, reject) => {
      client.socket.once('open', resolve);
      client.socket.once('error', reject);
    });
    return client;
  }

  /** Connects and waits for the handshake. */
  static async ready(server: Server, query = '', options: ClientOptions = {}): Promise<Client> {
    const client = await Client.open(server, query, options);
    await client.next('handshake');
    return client;
  }

  /** The next message not yet taken, or the next of one type (those before it are passed over). Rejects when the connection ends. */
  async next<T extends Message['type']>(type?: T): Promise<Extract<Message, { type: T }>> {
    for (;;) {
      while (this.#read < this.messages.length) {
        const message = this.messages[this.#read++]!;
        if (type === undefined || message.type === type) return message as Extract<Message, { type: T }>;
      }
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error(`closed before a message of type ${type} came`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Waits until `count` messages of a type have come in all. */
  async count(type: Message['type'], count: number): Promise<void> {
    while (this.of(type).length < count) {
      if (this.socket.readyState === WebSocket.CLOSED) {
        throw new Error(`closed with ${this.of(type).length} of ${count} messages of type ${type}`);
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  of<T extends Message['type']>(type: T): Extract<Message, { type: T }>[] {
    return this.messages.filter((message) => message.type === type) as Extract<Message, { type: T }>[];
  }

  send(message: Message): void {
    this.socket.send(encodeMessage(message));
  }

  audio(data: Uint8Array): void {
    this.send({ type: 'audio', data });
  }

  control(action: ControlAction): void {
    this.send({ type: 'control', action });
  }

  async close(): Promise<Close> {
    this.socket.close();
    return this.closed;
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

export function chatUrl(server: Server, query = ''): string {
  return `${server.url.replace(/^http/, 'ws')}/api/chat${query}`;
}

/** PCM as an Ogg Opus stream, one entry a message: the headers, then the pages. */
export async function oggOpus(pcm: Float32Array, options: OggOpusEncoderOptions = {}): Promise<Uint8Array[]> {
  const encoder = await OggOpusEncoder.create({ frameMs: 20, packetsPerPage: 2, ...options });
  const pages = [encoder.header(), ...encoder.encode(pcm)];
  encoder.free();
  return pages;
}

/** All audio a client received, decoded. */
export async function heard(client: Client): Promise<Float32Array> {
  const decoder = await OggOpusDecoder.create();
  const pcm = decoder.decode(Buffer.concat(client.of('audio').map(({ data }) => data)));
  decoder.free();
  return pcm;
}

import type { OggOpusDecoder } from '@moshi/opus';
import { CLOSE_RESUMING, dialects, encodeMessage, FRAME_SAMPLES, type Message } from '@moshi/protocol';
import { concat } from '@moshi/protocol/audio';
import type { Line } from './line';
import type { Manners } from './manners';
import type { Mouth } from './mouth';
import { speechLike } from './sound';
import type { ScriptedPeer, ScriptedServerOptions } from './types';

/** An expectation that has not come true yet. */
interface Waiter {
  readonly type: Message['type'];
  matches(message: Message): boolean;
  resolve(message: Message): void;
  reject(error: Error): void;
}

/** What survives a broken connection when the server keeps the conversation. */
interface Conversation {
  readonly mouth: Mouth;
  /** Messages since the handshake. */
  readonly sent: (Uint8Array | string)[];
  /** Samples of the client, 24 kHz. */
  samples: number;
  /** Messages of the client other than sound. */
  taken: number;
  echo?: { readonly delayFrames: number; readonly words: readonly (string | undefined)[]; frames: number };
  /** Heard by the echo and not said back yet. */
  pending: Float32Array;
}

/** What a {@link Peer} is made of. */
export interface PeerParts {
  readonly options: ScriptedServerOptions;
  readonly line: Line;
  readonly manners: Manners;
  readonly mouth: Mouth;
  readonly ear: OggOpusDecoder;
}

/** The one implementation of {@link ScriptedPeer}, over whatever line. */
export class Peer implements ScriptedPeer {
  readonly received: Message[] = [];
  readonly left: Promise<number>;
  readonly #parts: PeerParts;
  #conversation: Conversation;
  readonly #heard: Float32Array[] = [];
  /** What no expectation has taken yet. */
  readonly #inbox: Message[] = [];
  readonly #waiters: Waiter[] = [];
  #greeted = false;
  #ready = false;
  #over = false;

  constructor(
    readonly query: URLSearchParams,
    parts: PeerParts,
  ) {
    this.#parts = parts;
    this.#conversation = { mouth: parts.mouth, sent: [], samples: 0, taken: 0, pending: new Float32Array(0) };
    this.left = parts.line.ended;
    void this.left.then((code) => this.#end(code));
  }

  get samplesHeard(): number {
    return this.#conversation.samples;
  }

  get messagesTaken(): number {
    return this.#conversation.taken;
  }

  get messagesSent(): number {
    return this.#conversation.sent.length;
  }

  get heard(): Float32Array {
    const all = concat(this.#heard);
    this.#heard.splice(0, Number.POSITIVE_INFINITY, all);
    return all.slice();
  }

  /** What the test waits for in vain, and with `strict` what came and was not waited for. */
  get complaints(): string[] {
    const missing = this.#waiters.map(({ type }) => `no message "${type}" came`);
    const spare = this.#inbox.filter(({ type }) => type !== 'audio').map(({ type }) => `nobody took a "${type}"`);
    return this.#parts.options.strict ? [...missing, ...spare] : missing;
  }

  /** The client sent this. */
  hear(data: Uint8Array | string): void {
    const message = this.#parts.manners.read(data);
    if (!message) return;
    this.received.push(message);
    const waiter = this.#waiters.find(({ type, matches }) => type === message.type && matches(message));
    if (waiter) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      waiter.resolve(message);
    } else this.#inbox.push(message);
    if (message.type === 'audio') this.#listen(message.data);
    else this.#conversation.taken++;
  }

  expect<T extends Message['type']>(
    type: T,
    matches: (message: Extract<Message, { type: T }>) => boolean = () => true,
  ): Promise<Extract<Message, { type: T }>> {
    type Wanted = Extract<Message, { type: T }>;
    const fits = (message: Message) => matches(message as Wanted);
    const at = this.#inbox.findIndex((message) => message.type === type && fits(message));
    if (at >= 0) return Promise.resolve(this.#inbox.splice(at, 1)[0] as Wanted);
    return new Promise((resolve, reject) => {
      const waiter = { type, matches: fits, resolve: (message: Message) => resolve(message as Wanted), reject };
      if (this.#parts.line.open) this.#waiters.push(waiter);
      else reject(gone(type));
    });
  }

  handshake(): void {
    const { metadata, extensions, dialect = 'moshi' } = this.#parts.options;
    const greeting = metadata ?? (extensions && { extensions });
    if (greeting !== undefined && !this.#greeted) this.metadata(greeting);
    const versions = dialects[dialect].handshakeBytes === 9 ? { protocolVersion: 0, modelVersion: 0 } : {};
    this.send({ type: 'handshake', ...versions });
    for (const data of this.#conversation.mouth.begin()) this.send({ type: 'audio', data });
  }

  takeOver(previous: ScriptedPeer, received: number): void {
    if (!(previous instanceof Peer)) throw new TypeError('takeOver goes on with a peer of a scripted server');
    previous.drop();
    this.#conversation.mouth.free();
    this.#conversation = previous.#conversation;
    this.handshake();
    for (const data of this.#conversation.sent.slice(received)) this.#parts.line.send(data);
  }

  waiting(position: number): void {
    this.send({ type: 'event', name: 'waiting', data: { position } });
  }

  metadata(data: unknown): void {
    this.#greeted = true;
    this.send({ type: 'metadata', data });
  }

  send(message: Message): void {
    this.sendRaw(encodeMessage(message));
    if (message.type !== 'handshake') return;
    this.#ready = true;
    this.#parts.manners.shookHands();
  }

  sendRaw(data: Uint8Array | string): void {
    if (this.#over) return;
    if (this.#ready) this.#conversation.sent.push(data);
    this.#parts.line.send(data);
  }

  say(text: string): void {
    for (const word of text.split(/\s+/).filter(Boolean)) this.send({ type: 'text', text: ` ${word}` });
  }

  speak(sound: Float32Array | { readonly seconds: number }): void {
    const pcm = sound instanceof Float32Array ? sound : speechLike(sound.seconds);
    const frames = new Float32Array(Math.ceil(pcm.length / FRAME_SAMPLES) * FRAME_SAMPLES);
    frames.set(pcm);
    this.#speak(frames);
  }

  echo({ delayFrames = 0, words = [] }: Parameters<ScriptedPeer['echo']>[0] = {}): void {
    this.#conversation.echo = { delayFrames, words, frames: 0 };
    this.#conversation.pending = new Float32Array(0);
  }

  error(text: string): void {
    this.send({ type: 'error', message: text });
  }

  hangUp(code = 1000, reason = ''): void {
    this.#parts.line.close(code, reason);
  }

  drop(): void {
    this.#parts.line.drop();
  }

  stall(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`stall takes milliseconds, not ${ms}`);
    this.#parts.line.hold();
    setTimeout(() => this.#parts.line.release(), ms);
  }

  #speak(frames: Float32Array): void {
    if (this.#over) return;
    for (const data of this.#conversation.mouth.speak(frames)) this.send({ type: 'audio', data });
  }

  #listen(data: Uint8Array): void {
    const pcm = this.#parts.ear.decode(data);
    this.#heard.push(pcm);
    const conversation = this.#conversation;
    conversation.samples += pcm.length;
    const { echo } = conversation;
    if (!echo) return;
    conversation.pending = concat([conversation.pending, pcm]);
    while (conversation.pending.length >= (echo.delayFrames + 1) * FRAME_SAMPLES) {
      const frame = conversation.pending.slice(0, FRAME_SAMPLES);
      conversation.pending = conversation.pending.slice(FRAME_SAMPLES);
      this.#answer(frame, echo.words[echo.frames++]);
    }
  }

  #answer(frame: Float32Array, text: string | undefined): void {
    const tell = () => text !== undefined && this.send({ type: 'text', text });
    const { textFirst } = this.#conversation.mouth;
    if (textFirst) tell();
    this.#speak(frame);
    if (!textFirst) tell();
  }

  #end(code: number): void {
    this.#parts.ear.free();
    // After a break another peer may go on with the conversation.
    this.#over = code !== 1006 && code !== CLOSE_RESUMING;
    if (this.#over) this.#conversation.mouth.free();
    for (const waiter of this.#waiters) waiter.reject(gone(waiter.type));
  }
}

function gone(type: string): Error {
  return new Error(`the client left before a message "${type}" came`);
}

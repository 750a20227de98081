import {
  type ClientMessage,
  type ControlAction,
  type DialectName,
  type Message,
  opusPacketSamples,
  SAMPLE_RATE,
} from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import type { Microphone, Recording, RecordOptions, SessionAudio, Speaker } from './audio/types';
import { Lifeline } from './connection/lifeline';
import { Controls } from './controls';
import { displayUrl } from './endpoint';
import { MoshiError } from './errors';
import type { SessionEvents } from './events';
import { LiveAudio } from './live-audio';
import type { SessionMetrics } from './metrics';
import type { ResolvedOptions } from './options';
import { type Saying, type SayOptions, type SayResult, Speech, unwatched } from './speech';
import type { SessionState } from './state';

/**
 * A conversation with a server. Comes from `connect`, ready to use; see {@link SessionEvents} for what it tells. A lost
 * connection is made anew as `reconnect` says: the conversation goes on where the server keeps it (`resumable`), elsewhere
 * a new one begins, and the event `new-conversation` says so.
 */
export class Session extends EventEmitter<SessionEvents> {
  /** Address of the server, without the query. */
  readonly url: string;
  readonly #options: ResolvedOptions;
  readonly #audio: LiveAudio;
  readonly #lifeline: Lifeline;
  readonly #speech: Speech;
  readonly #controls: Controls;
  #sessionAudio: SessionAudio | undefined;

  private constructor(options: ResolvedOptions) {
    super();
    this.#options = options;
    this.url = displayUrl(options.url);
    this.#audio = new LiveAudio(options, {
      text: (event) => this.emit('text', event),
      audio: (event) => this.emit('audio', event),
      packets: (event) => this.emit('packets', event),
      error: (error) => this.emit('error', error),
      dropped: (event) => this.emit('dropped', event),
      metrics: () => this.emit('metrics', this.metrics),
      silent: () => this.#lifeline.silent(),
    });
    this.#lifeline = new Lifeline(options, this.#audio, {
      emit: (name, ...event) => this.emit(name, ...(event as never)),
      message: (message) => this.#process(message),
      renewed: () => this.#forget(new MoshiError('closed', 'the connection was lost and a new conversation began')),
      ended: (error) => this.#ended(error),
    });
    const send = (message: ClientMessage) => this.#lifeline.send(message);
    this.#controls = new Controls({ extensions: () => this.extensions, send }, this.#audio);
    this.#speech = new Speech({
      announced: () => this.extensions.has('say'),
      over: () => this.state.status === 'closing' || this.state.status === 'closed',
      send,
      now: () => this.#audio.receivedSeconds,
      emit: (name, event) => this.emit(name, event as never),
    });
    for (const [name, listener] of Object.entries(options.on)) {
      if (listener) this.on(name as keyof SessionEvents, listener as never);
    }
  }

  /** @internal Resolves when ready; rejects with {@link MoshiError} and then leaves nothing open. */
  static async open(options: ResolvedOptions): Promise<Session> {
    const session = new Session(options);
    await session.#lifeline.open();
    return session;
  }

  /** Where the session is. */
  get state(): SessionState {
    return this.#lifeline.state;
  }

  /** The server family, as asked for or as found out from handshake and metadata. */
  get dialect(): DialectName {
    return this.#lifeline.peer.dialect;
  }

  /** The last metadata message of the server, undefined when it sent none. */
  get metadata(): unknown {
    return this.#lifeline.peer.metadata;
  }

  /** Names of the extensions the server announced; empty for stock servers. */
  get extensions(): ReadonlySet<string> {
    return this.#lifeline.peer.extensions;
  }

  /** The figures of this moment. */
  get metrics(): SessionMetrics {
    return { ...this.#audio.metrics, ...this.#sessionAudio?.metrics };
  }

  /** Whether the server keeps the conversation for a while when the connection is lost. */
  get resumable(): boolean {
    return this.#lifeline.resumable;
  }

  /** The user's side: a device of this machine that is heard and sent. */
  get microphone(): Microphone {
    return this.#sound.microphone;
  }

  /** The model's side: a jitter buffer and a loudspeaker of this machine. */
  get speaker(): Speaker {
    return this.#sound.speaker;
  }

  /**
   * Records both sides until the session ends, the user as he was heard and the model as it was played. Rejects with `unsupported`
   * where that cannot be done, and `closed`.
   */
  async record(options?: RecordOptions): Promise<Recording> {
    return this.#sound.record(options);
  }

  get #sound(): SessionAudio {
    this.#sessionAudio ??= this.#options.sound.createAudio(this, this.#options.audio);
    return this.#sessionAudio;
  }

  /**
   * Sends microphone audio: 24 kHz mono samples in [-1, 1], any number of them, copied. It is not paced: give it what a
   * microphone gives, as it gives it (for recordings there is `connectStream`). While the network does not take it, up
   * to `maxBufferedMs` wait and the oldest is dropped (event `dropped`); on a session that has ended all of it is.
   * Throws `bad-option` for anything that is not a Float32Array.
   */
  sendAudio(pcm: Float32Array): void {
    if (!(pcm instanceof Float32Array)) {
      throw new MoshiError('bad-option', 'sendAudio takes a Float32Array of 24 kHz mono samples in [-1, 1]');
    }
    if (this.#options.codecs === false)
      throw new MoshiError('unsupported', 'codecs: false leaves no encoder: use sendPackets');
    this.#audio.send(pcm);
  }

  /**
   * Sends Opus packets of any length, as the event `packets` gives them, in pages of `opus.packetsPerPage`; with `codecs: false`,
   * in place of {@link sendAudio}. What the network does not take at once is dropped. Throws `bad-option` for anything else.
   */
  sendPackets(packets: readonly Uint8Array[]): void {
    if (this.#options.codecs !== false)
      throw new MoshiError('bad-option', 'sendPackets needs codecs: false: a connection has one stream');
    for (const packet of packets) {
      if (!(packet instanceof Uint8Array) || opusPacketSamples(packet) === 0) {
        throw new MoshiError('bad-option', 'sendPackets takes Opus packets, each a Uint8Array');
      }
    }
    this.#audio.sendPackets(packets);
  }

  /** Sends `ms` milliseconds of silence, as for a muted microphone: a model that hears nothing at all stands still. */
  sendSilence(ms: number): void {
    if (!(ms >= 0 && ms <= 600_000)) throw new MoshiError('bad-option', `sendSilence takes 0 to 600000 ms, not ${ms}`);
    this.sendAudio(new Float32Array(Math.round((ms / 1000) * SAMPLE_RATE)));
  }

  /**
   * Completes the last frame with silence and resolves when all audio was handed to the network, or the session ended.
   * The Ogg stream stays open: more audio may follow. With `codecs: false` the last page goes out as it is.
   */
  async finish(): Promise<void> {
    await this.#audio.finish();
  }

  /**
   * Lets the model speak `text` in its own voice; texts queue up, events `say-start`, `say-word`, `say-end` tell how it goes.
   * Resolves with what was spoken when that is over, or the session is. Rejects with `bad-option` for a text without words,
   * `unsupported` when the server did not announce `say`, `server` when it cannot speak this text; unawaited, with no effect.
   */
  say(text: string, options: SayOptions = {}): Promise<SayResult> {
    return unwatched((async () => this.startSay(text, options).done)());
  }

  /** @internal As {@link say}, with the number that the events will carry; throws instead of rejecting. */
  startSay(text: string, options: SayOptions = {}): Saying {
    return this.#speech.say(text, options);
  }

  /**
   * Takes back the text of this session with this number (as `say-start` told it), or all texts; a word on its way is finished.
   * Throws `bad-option` for another number, `unsupported` when the server did not announce `say`, `closed` when the session is
   * not ready. So does `interrupt`.
   */
  cancelSay(id?: number): void {
    this.#speech.cancel(id);
  }

  /**
   * Takes back all texts, and the model stops speaking for about a second. A running speaker forgets what it holds, and is soft
   * for as long: with one it never throws `unsupported`, as that much can be done about any server.
   */
  interrupt(): void {
    const isHeard = this.#sessionAudio?.metrics.playout !== undefined;
    if (isHeard) this.#sessionAudio?.interrupted();
    if (!isHeard || this.extensions.has('say')) this.#speech.interrupt();
  }

  /** The user's turn is over: the model begins to speak now. As all control messages, stock servers ignore it. */
  endTurn(): void {
    this.control('endTurn');
  }

  /** The conversation stands still, and what the server is sent it drops, until {@link resume}. */
  pause(): void {
    this.control('pause');
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    this.control('start');
  }

  /**
   * Begins the conversation anew with the same voice and prompt; audio that waits is dropped. Resolves when the server is ready
   * again. Rejects with `unsupported` when the server did not announce `restarted` (connect anew there), `closed`.
   */
  restart(): Promise<void> {
    return unwatched(this.#controls.restart());
  }

  /** Sends a control message; stock servers read and ignore it. Throws `closed` when the session is not ready. */
  control(action: ControlAction): void {
    this.#controls.send(action);
  }

  /**
   * Ends the session with code 1000 or 3000 to 4999 and up to 123 bytes of reason. Resolves when it is closed, in any
   * state and however often it is called. Audio that still waits is dropped: `await session.finish()` first if it matters.
   */
  async close(code = 1000, reason = ''): Promise<void> {
    if (code !== 1000 && !(Number.isInteger(code) && code >= 3000 && code <= 4999)) {
      throw new MoshiError('bad-option', `close code must be 1000 or 3000 to 4999, not ${code}`);
    }
    if (new TextEncoder().encode(reason).length > 123) {
      throw new MoshiError('bad-option', 'close reason must fit in 123 bytes of UTF-8');
    }
    this.#lifeline.leave(code, reason);
    await this.#lifeline.closed;
  }

  /** Closes the session at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What the listeners get to see, once there are any. */
  #process(message: Message): void {
    this.#audio.countReceived(message);
    this.emit('message', message);
    if (message.type === 'metadata') this.emit('metadata', message.data);
    else if (message.type === 'error') this.emit('error', new MoshiError('server', message.message));
    else if (message.type !== 'event') this.#audio.read(message);
    else if (message.name === 'restarted') this.#controls.restarted();
    else if (message.name === 'behind') this.#onBehind(message.data);
    else this.#speech.hear(message);
  }

  #onBehind(data: unknown): void {
    const ms = (data as { ms?: unknown } | null | undefined)?.ms;
    if (typeof ms === 'number' && ms >= 0) this.emit('behind', { ms });
  }

  #ended(error: MoshiError | undefined): void {
    void this.#sessionAudio?.close();
    this.#forget(error);
  }

  /** What the conversation was asked for and has not done will not come; `cause` is why, if it did not end as it should. */
  #forget(cause: MoshiError | undefined): void {
    this.#speech.end();
    this.#controls.end(cause);
  }
}

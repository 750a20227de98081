import { type ControlAction, type DialectName, decodeMessage, encodeMessage, type Message } from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import type { Microphone, Recording, RecordOptions, SessionAudio, Speaker } from './audio/types';
import { type Codecs, createCodecs } from './codecs';
import { Controls } from './controls';
import { displayUrl } from './endpoint';
import { MoshiError } from './errors';
import type { SessionEvents, WaitingEvent } from './events';
import { aborted, codecFailure, explainClose, tooSlow } from './explain';
import { LiveAudio } from './live-audio';
import { Mailbox } from './mailbox';
import type { SessionMetrics } from './metrics';
import { Opening } from './opening';
import type { ResolvedOptions } from './options';
import { Peer } from './peer';
import { createSessionAudio } from './session-audio';
import { type Saying, type SayOptions, type SayResult, Speech, unwatched } from './speech';
import type { SessionState } from './state';
import type { Timer } from './timer';
import type { TransportClose } from './transport';

/** How long the server may take to answer a close. */
const CLOSE_TIMEOUT_MS = 2000;
/** Our close code for a server that stopped answering. */
const CLOSE_SILENT = 4000;
const BROKEN: TransportClose = { code: 1006, reason: '', clean: false };

/**
 * One conversation with a server. Comes from `connect`, ready to use; see {@link SessionEvents} for what it tells.
 * Reconnecting is a new session and a new conversation: no server resumes one.
 */
export class Session extends EventEmitter<SessionEvents> {
  /** Address of the server, without the query. */
  readonly url: string;
  readonly #options: ResolvedOptions;
  readonly #peer: Peer;
  readonly #audio: LiveAudio;
  readonly #speech: Speech;
  readonly #controls: Controls;
  readonly #mailbox = new Mailbox();
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => {};
  #state: SessionState = { status: 'connecting' };
  #opening: Opening | undefined;
  #openedAt: number | undefined;
  #codecs: Codecs | undefined;
  #failure: MoshiError | undefined;
  #closeTimer: Timer | undefined;
  #sessionAudio: SessionAudio | undefined;

  private constructor(options: ResolvedOptions) {
    super();
    this.#options = options;
    this.url = displayUrl(options.url);
    this.#peer = new Peer(options);
    this.#audio = new LiveAudio(options, {
      text: (event) => this.emit('text', event),
      audio: (event) => this.emit('audio', event),
      error: (error) => this.emit('error', error),
      dropped: (event) => this.emit('dropped', event),
      metrics: (metrics) => this.emit('metrics', metrics),
      silent: () => this.#onSilent(),
    });
    const send = (message: Message) => this.#send(message);
    this.#controls = new Controls({ extensions: () => this.#peer.extensions, send }, this.#audio);
    this.#speech = new Speech({
      announced: () => this.#peer.extensions.has('say'),
      ready: () => this.#state.status === 'ready',
      send,
      now: () => this.#audio.receivedSeconds,
      emit: (name, event) => this.emit(name, event as never),
    });
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    for (const [name, listener] of Object.entries(options.on)) {
      if (listener) this.on(name as keyof SessionEvents, listener as never);
    }
  }

  /** @internal Resolves when ready; rejects with {@link MoshiError} and then leaves nothing open. */
  static async open(options: ResolvedOptions): Promise<Session> {
    const session = new Session(options);
    await session.#open();
    return session;
  }

  /** Where the session is. */
  get state(): SessionState {
    return this.#state;
  }

  /** The server family, as asked for or as found out from handshake and metadata. */
  get dialect(): DialectName {
    return this.#peer.dialect;
  }

  /** The last metadata message of the server, undefined when it sent none. */
  get metadata(): unknown {
    return this.#peer.metadata;
  }

  /** Names of the extensions the server announced; empty for stock servers. */
  get extensions(): ReadonlySet<string> {
    return this.#peer.extensions;
  }

  /** The figures of this moment. */
  get metrics(): SessionMetrics {
    return this.#audio.metrics;
  }

  /** The user's side: a device of this machine that is heard and sent. */
  get microphone(): Microphone {
    return this.#sound.microphone;
  }

  /** The model's side: a jitter buffer and a loudspeaker of this machine. */
  get speaker(): Speaker {
    return this.#sound.speaker;
  }

  /** Records both sides, the user as he was heard and the model as it was played. Rejects with `unsupported` where that cannot be done. */
  async record(options?: RecordOptions): Promise<Recording> {
    return this.#sound.record(options);
  }

  get #sound(): SessionAudio {
    this.#sessionAudio ??= createSessionAudio(this, this.#options.audio);
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
    this.#audio.send(pcm);
  }

  /** Sends `ms` milliseconds of silence, as for a muted microphone: a model that hears nothing at all stands still. */
  sendSilence(ms: number): void {
    if (!(ms >= 0 && ms <= 600_000)) throw new MoshiError('bad-option', `sendSilence takes 0 to 600000 ms, not ${ms}`);
    this.#audio.sendSilence(ms);
  }

  /**
   * Completes the last frame with silence and resolves when all audio was handed to the network, or the session ended.
   * The Ogg stream stays open: more audio may follow.
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
   * Takes back the text with this number (as `say-start` told it), or all texts; a word on its way is finished. Throws
   * `unsupported` when the server did not announce `say`, `closed` when the session is not ready. So does `interrupt`.
   */
  cancelSay(id?: number): void {
    this.#speech.cancel(id);
  }

  /** Takes back all texts, and the model stops speaking for about a second. */
  interrupt(): void {
    this.#speech.interrupt();
    this.#sessionAudio?.interrupted();
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
    this.#leave(code, reason);
    await this.#closed;
  }

  /** Closes the session at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open(): Promise<void> {
    const { signal, transport, url, handshakeTimeoutMs } = this.#options;
    if (signal?.aborted) throw aborted(signal.reason);
    this.#opening = new Opening({
      timeoutMs: handshakeTimeoutMs,
      signal,
      onTimeout: () => this.#fail(tooSlow(this.url, this.#openedAt !== undefined, handshakeTimeoutMs)),
      onAbort: (reason) => (this.#audio.started ? this.#leave(1000, '') : this.#fail(aborted(reason))),
    });
    createCodecs(this.#options.opus).then(
      (codecs) => this.#onCodecs(codecs),
      (cause) => this.#fail(codecFailure(cause)),
    );
    try {
      transport.open(url.href, {
        open: () => this.#onOpen(),
        message: (data) => this.#onMessage(data),
        close: (close) => this.#onTransportClose(close),
      });
    } catch (cause) {
      this.#fail(new MoshiError('unreachable', `the transport did not open: ${String(cause)}`, { cause }));
    }
    await this.#opening.done;
  }

  #send(message: Message): void {
    if (this.#state.status !== 'ready') {
      throw new MoshiError('closed', `cannot send: the session is ${this.#state.status}`);
    }
    this.#options.transport.send(encodeMessage(message));
    this.#audio.countSent();
  }

  #onOpen(): void {
    if (this.#state.status !== 'connecting') return;
    this.#openedAt = performance.now();
    this.#becomeWaiting(undefined);
  }

  #onCodecs(codecs: Codecs): void {
    if (this.#state.status === 'closed') {
      codecs.free();
      return;
    }
    this.#codecs = codecs;
    this.#becomeReady();
  }

  #onMessage(data: Uint8Array | string): void {
    if (this.#state.status === 'closed') return;
    this.#audio.heard();
    if (!this.#audio.started && !this.#opening?.accept(data.length)) {
      this.#fail(new MoshiError('malformed', 'the server sent over 1 MiB before it was ready: check the path'));
      return;
    }
    let message: Message;
    try {
      if (typeof data === 'string') throw new TypeError('a text frame, and only binary ones mean anything');
      message = decodeMessage(data);
    } catch (cause) {
      const text = `a message could not be read: ${cause instanceof Error ? cause.message : String(cause)}`;
      this.#mailbox.deliver(() => this.emit('error', new MoshiError('malformed', text, { cause })));
      return;
    }
    this.#peer.learn(message);
    this.#mailbox.deliver(() => this.#process(message));
    if (this.#audio.started) return;
    if (message.type === 'event' && message.name === 'waiting') this.#becomeWaiting(message.data);
    this.#becomeReady();
  }

  /** What the listeners get to see, once there are any. */
  #process(message: Message): void {
    this.#audio.countReceived(message);
    this.emit('message', message);
    if (message.type === 'metadata') this.emit('metadata', message.data);
    else if (message.type === 'error') this.emit('error', new MoshiError('server', message.message));
    else if (message.type !== 'event') this.#audio.read(message);
    else if (message.name !== 'restarted') this.#speech.hear(message);
    else this.#controls.restarted();
  }

  #becomeWaiting(data: unknown): void {
    const position = (data as { position?: unknown } | null | undefined)?.position;
    const waiting: WaitingEvent = typeof position === 'number' ? { position } : {};
    this.#become({ status: 'waiting', ...waiting });
    this.emit('waiting', waiting);
  }

  #becomeReady(): void {
    const codecs = this.#codecs;
    if (!this.#peer.ready || !codecs || this.#audio.started || this.#state.status === 'closed') return;
    this.#codecs = undefined;
    this.#audio.start(codecs);
    this.#opening?.ready();
    // The caller attaches its listeners right after `await connect()`: by the next task it has.
    setTimeout(() => this.#mailbox.open(), 0);
    this.#become({ status: 'ready' });
  }

  #become(state: SessionState): void {
    this.#state = state;
    this.emit('state', state);
  }

  #onSilent(): void {
    const seconds = this.#options.idleTimeoutMs / 1000;
    this.#failure = new MoshiError('silent', `the server answered nothing for ${seconds} s, though audio was sent`, {
      retryable: true,
    });
    this.#leave(CLOSE_SILENT, 'server silent');
    this.emit('error', this.#failure);
  }

  /** Says goodbye once, and does not wait for the answer for ever. */
  #leave(code: number, reason: string): void {
    if (this.#state.status !== 'ready') return;
    this.#audio.stop();
    try {
      this.#become({ status: 'closing' });
    } finally {
      this.#hangUp(code, reason);
    }
  }

  #hangUp(code: number, reason: string): void {
    this.#closeTimer = setTimeout(() => {
      this.#options.transport.terminate();
      this.#end(BROKEN);
    }, CLOSE_TIMEOUT_MS);
    this.#options.transport.close(code, reason);
  }

  /** Gives up before the session was ready. */
  #fail(error: MoshiError): void {
    if (this.#state.status === 'closed' || this.#audio.started) return;
    const connected = this.#openedAt !== undefined;
    this.#failure = error;
    try {
      this.#end(BROKEN);
    } finally {
      if (connected) this.#hangUp(1000, '');
      else this.#options.transport.terminate();
    }
  }

  #onTransportClose(close: TransportClose): void {
    clearTimeout(this.#closeTimer);
    if (this.#audio.started) this.#mailbox.deliver(() => this.#end(close));
    else this.#end(close);
  }

  #end(close: TransportClose): void {
    if (this.#state.status === 'closed') return;
    const wasReady = this.#audio.started;
    const error = this.#failure ?? (this.#state.status === 'closing' ? undefined : this.#explain(close));
    const isNews = error !== undefined && error !== this.#failure;
    const { code, reason, clean } = close;
    const state: SessionState = { status: 'closed', code, reason, ...(error && { error }) };
    // Everything is settled before listeners are called: theirs may be any code.
    this.#state = state;
    if (error && !wasReady) this.#opening?.reject(error);
    this.#resolveClosed();
    this.#opening?.stop();
    // Codecs that nothing uses yet are this side's own.
    this.#codecs?.free();
    this.#codecs = undefined;
    this.#audio.release();
    void this.#sessionAudio?.close();
    this.#speech.end();
    this.#controls.end(error);
    this.#audio.flush();
    if (wasReady && isNews) this.emit('error', error);
    this.emit('state', state);
    this.emit('closed', { code, reason, clean, ...(error && { error }) });
  }

  #explain(close: TransportClose): MoshiError | undefined {
    return explainClose(close, {
      url: this.url,
      dialect: this.#peer.dialect,
      opened: this.#openedAt !== undefined,
      ready: this.#audio.started,
      personaMissing: this.#options.dialect === 'auto' && !this.#options.persona,
      msSinceOpen: performance.now() - (this.#openedAt ?? performance.now()),
      serverError: this.#peer.error,
    });
  }
}

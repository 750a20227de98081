import {
  type ControlAction,
  type DialectName,
  decodeMessage,
  encodeMessage,
  type Message,
  SAMPLE_RATE,
} from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import { AudioSender } from './audio-sender';
import { type Codecs, createCodecs } from './codecs';
import { displayUrl } from './endpoint';
import { MoshiError } from './errors';
import type { SessionEvents, WaitingEvent } from './events';
import { aborted, codecFailure, explainClose, tooSlow } from './explain';
import { Mailbox } from './mailbox';
import { MetricsRecorder, type SessionMetrics } from './metrics';
import { Opening } from './opening';
import type { ResolvedOptions } from './options';
import { Peer } from './peer';
import { ReplyReader } from './reply-reader';
import { SilenceWatch } from './silence-watch';
import type { SessionState } from './state';
import type { Timer } from './timer';
import type { TransportClose } from './transport';

const METRICS_INTERVAL_MS = 1000;
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
  readonly #metrics = new MetricsRecorder();
  readonly #mailbox = new Mailbox();
  readonly #watch: SilenceWatch;
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => {};
  #state: SessionState = { status: 'connecting' };
  #opening: Opening | undefined;
  #openedAt: number | undefined;
  #codecs: Codecs | undefined;
  #sender: AudioSender | undefined;
  #reader: ReplyReader | undefined;
  #lostPackets = 0;
  #failure: MoshiError | undefined;
  #closeTimer: Timer | undefined;
  #metricsTimer: ReturnType<typeof setInterval> | undefined;

  private constructor(options: ResolvedOptions) {
    super();
    this.#options = options;
    this.url = displayUrl(options.url);
    this.#peer = new Peer(options);
    this.#watch = new SilenceWatch(options.idleTimeoutMs, () => this.#onSilent());
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    for (const [name, listener] of Object.entries(options.on)) {
      if (listener !== undefined) this.on(name as keyof SessionEvents, listener as never);
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
    return this.#metrics.snapshot(this.#sender?.bufferedMs ?? 0, this.#countLost());
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
    this.#sender?.push(pcm);
  }

  /** Sends `ms` milliseconds of silence, as for a muted microphone: a model that hears nothing at all stands still. */
  sendSilence(ms: number): void {
    if (!(ms >= 0 && ms <= 600_000)) throw new MoshiError('bad-option', `sendSilence takes 0 to 600000 ms, not ${ms}`);
    this.sendAudio(new Float32Array(Math.round((ms / 1000) * SAMPLE_RATE)));
  }

  /**
   * Completes the last frame with silence and resolves when all audio was handed to the network, or the session ended.
   * The Ogg stream stays open: more audio may follow.
   */
  async finish(): Promise<void> {
    await this.#sender?.finish();
  }

  /** Lets the model speak `text`. Throws `unsupported` unless the server announced the extension `text`. */
  sendText(text: string): void {
    if (!this.#peer.extensions.has('text')) {
      throw new MoshiError('unsupported', 'this server did not announce text input; stock servers have none');
    }
    this.#send({ type: 'text', text });
  }

  /** Sends a control message; stock servers read and ignore it. Throws `closed` when the session is not ready. */
  control(action: ControlAction): void {
    this.#send({ type: 'control', action });
    // A server that obeys drops what waits, and answers nothing while paused.
    if (action === 'endTurn' || !this.#peer.extensions.has('control')) return;
    this.#watch.suspend(action === 'pause');
    if (action === 'start') this.#metrics.resync();
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
      onAbort: (reason) => (this.#reader ? this.#leave(1000, '') : this.#fail(aborted(reason))),
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
    this.#metrics.messageSent();
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
    this.#watch.reset();
    if (!this.#reader && !this.#opening?.accept(data.length)) {
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
    if (this.#reader) return;
    if (message.type === 'event' && message.name === 'waiting') this.#becomeWaiting(message.data);
    this.#becomeReady();
  }

  /** What the listeners get to see, once there are any. */
  #process(message: Message): void {
    this.#metrics.messageReceived(message.type);
    this.emit('message', message);
    if (message.type === 'metadata') this.emit('metadata', message.data);
    else if (message.type === 'error') this.emit('error', new MoshiError('server', message.message));
    else if (message.type === 'event' && message.name === 'restarted') this.#metrics.resync();
    else this.#reader?.read(message);
  }

  #becomeWaiting(data: unknown): void {
    const position = (data as { position?: unknown } | null | undefined)?.position;
    const waiting: WaitingEvent = typeof position === 'number' ? { position } : {};
    this.#become({ status: 'waiting', ...waiting });
    this.emit('waiting', waiting);
  }

  #becomeReady(): void {
    const codecs = this.#codecs;
    if (!this.#peer.ready || !codecs || this.#reader || this.#state.status === 'closed') return;
    this.#reader = new ReplyReader(codecs.decoder, this.#metrics, {
      text: (event) => this.emit('text', event),
      audio: (event) => this.emit('audio', event),
      error: (error) => this.emit('error', error),
    });
    this.#sender = new AudioSender({
      transport: this.#options.transport,
      encoder: codecs.encoder,
      pageSamples: this.#options.pageSamples,
      maxBufferedMs: this.#options.maxBufferedMs,
      onMessage: () => this.#metrics.messageSent(),
      onPage: (samples) => {
        this.#metrics.audioSent(samples);
        this.#watch.audioSent(samples);
      },
      onDropped: (ms) => this.emit('dropped', { ms, totalMs: this.#metrics.dropped(ms) }),
    });
    this.#metricsTimer = setInterval(() => this.emit('metrics', this.metrics), METRICS_INTERVAL_MS);
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
    this.#watch.suspend(true);
    this.#sender?.stop();
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
    if (this.#state.status === 'closed' || this.#reader) return;
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
    if (this.#reader) this.#mailbox.deliver(() => this.#end(close));
    else this.#end(close);
  }

  #end(close: TransportClose): void {
    if (this.#state.status === 'closed') return;
    const wasReady = this.#reader !== undefined;
    const error = this.#failure ?? (this.#state.status === 'closing' ? undefined : this.#explain(close));
    const isNews = error !== undefined && error !== this.#failure;
    const { code, reason, clean } = close;
    const state: SessionState = { status: 'closed', code, reason, ...(error && { error }) };
    // Everything is settled before listeners are called: theirs may be any code.
    this.#state = state;
    if (error && !wasReady) this.#opening?.reject(error);
    this.#resolveClosed();
    this.#release();
    this.#reader?.end();
    if (wasReady && isNews) this.emit('error', error);
    this.emit('state', state);
    this.emit('closed', { code, reason, clean, ...(error && { error }) });
  }

  #explain(close: TransportClose): MoshiError | undefined {
    return explainClose(close, {
      url: this.url,
      dialect: this.#peer.dialect,
      opened: this.#openedAt !== undefined,
      ready: this.#reader !== undefined,
      personaMissing: this.#options.dialect === 'auto' && !this.#options.persona,
      msSinceOpen: performance.now() - (this.#openedAt ?? performance.now()),
      serverError: this.#peer.error,
    });
  }

  #countLost(): number {
    const stats = this.#codecs?.decoder.stats;
    // A page with a bad checksum is at least one packet.
    if (stats) this.#lostPackets = stats.lost + stats.badCrc;
    return this.#lostPackets;
  }

  #release(): void {
    clearInterval(this.#metricsTimer);
    this.#watch.suspend(true);
    this.#opening?.stop();
    this.#countLost();
    this.#codecs?.free();
    this.#codecs = undefined;
    this.#sender?.stop();
  }
}

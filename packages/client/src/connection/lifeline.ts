import { CLOSE_RESUMING, type ClientMessage, type Message, type ResumeRequest, resumeQuery } from '@moshi/protocol';
import type { Codecs } from '../codecs';
import { MoshiError } from '../errors';
import type { ClosedEvent, NewConversationEvent, SessionEvents, WaitingEvent } from '../events';
import { aborted, codecFailure } from '../explain';
import type { LiveAudio } from '../live-audio';
import type { ResolvedOptions } from '../options';
import type { SessionState } from '../state';
import { Connection } from './connection';
import type { Peer } from './peer';
import { Reconnector } from './reconnector';
import { SentMessages } from './sent-messages';

/** Our close code for a server that stopped answering. */
const CLOSE_SILENT = 4000;
/** A connection that held for this long is no part of the trouble before it, even if nothing was said. */
const SETTLED_MS = 30_000;
/** Within this a server answers that is there at all: another attempt is better than a longer wait. */
const ANSWERS_MS = 10_000;
const LOST: ClosedEvent = { code: 1006, reason: '', clean: false };

/** What a {@link Lifeline} tells its session. */
export interface LifelineHost {
  emit<Name extends keyof SessionEvents>(name: Name, ...event: Parameters<SessionEvents[Name]>): void;
  /** A message of the server, in order. */
  message(message: Message): void;
  /** A new conversation has begun: nothing that the one before was asked for will come. */
  renewed(): void;
  /** The session is over; listeners hear of it after this. */
  ended(error: MoshiError | undefined): void;
}

/** One connection on its way to being the session's. */
interface Attempt {
  readonly connection: Connection;
  /** What it asks to take up again. */
  readonly asked?: ResumeRequest;
  codecs?: Codecs;
}

/** A session's connections, one after the other: from the first to the end, through every loss that its policy forgives. */
export class Lifeline {
  /** Resolves when the session is over. */
  readonly closed: Promise<void>;
  readonly #options: ResolvedOptions;
  readonly #audio: LiveAudio;
  readonly #host: LifelineHost;
  readonly #sent = new SentMessages();
  readonly #reconnector: Reconnector | undefined;
  #resolveClosed: () => void = () => {};
  #settle: { resolve: () => void; reject: (error: MoshiError) => void } | undefined;
  #state: SessionState = { status: 'connecting' };
  #attempt: Attempt;
  /** Of the connection in use, or of the last one that was. */
  #peer: Peer;
  #established = false;
  /** Messages received in this conversation on connections that are gone. */
  #receivedBefore = 0;
  /** How the conversation's connection was lost, and when. */
  #loss: { end: ClosedEvent; at: number } | undefined;
  #readyAt = 0;
  /** The server said something on this connection. */
  #proven = false;
  /** The error was told already. */
  #told: MoshiError | undefined;
  #unwatch: (() => void) | undefined;

  constructor(options: ResolvedOptions, audio: LiveAudio, host: LifelineHost) {
    this.#options = options;
    this.#audio = audio;
    this.#host = host;
    this.#attempt = this.#prepare();
    this.#peer = this.#attempt.connection.peer;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const { reconnect, network } = options;
    this.#reconnector = reconnect && new Reconnector(reconnect, network, () => this.#dialAgain());
  }

  get state(): SessionState {
    return this.#state;
  }

  /** What the server said of itself. */
  get peer(): Peer {
    return this.#peer;
  }

  /** Whether the server keeps the conversation for a while when the connection is lost. */
  get resumable(): boolean {
    return this.#reconnector !== undefined && this.#established && this.#peer.offer !== undefined;
  }

  /** Resolves when ready; rejects with {@link MoshiError} and then leaves nothing open. */
  async open(): Promise<void> {
    const { signal, network } = this.#options;
    if (signal?.aborted) throw aborted(signal.reason);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#unwatch = network?.watch({
      online: () => {
        this.#host.emit('online');
        this.#hurry();
      },
      offline: () => {
        this.#reconnector?.offline();
        this.#host.emit('offline');
      },
      visible: () => this.#hurry(),
    });
    const opened = new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.#load(this.#attempt, true);
    this.#attempt.connection.open(this.#options.url);
    await opened;
  }

  /** Throws `closed` unless the session is ready. */
  send(message: ClientMessage): void {
    const { status } = this.#state;
    if (status !== 'ready') {
      const away = status === 'reconnecting';
      throw new MoshiError('closed', `cannot send: the session is ${status}`, { retryable: away });
    }
    if (this.#reconnector) this.#sent.push(message);
    this.#attempt.connection.send(message);
    this.#audio.countSent();
  }

  /** Ends the session, once; before it was ready it has no effect. */
  leave(code: number, reason: string, because?: MoshiError): void {
    const { status } = this.#state;
    if (!this.#established || status === 'closing' || status === 'closed') return;
    this.#audio.stop();
    if (status !== 'ready') {
      this.#attempt.connection.abandon(1000, '');
      this.#end(LOST);
      return;
    }
    try {
      this.#become({ status: 'closing' });
    } finally {
      this.#attempt.connection.leave(code, reason, because);
    }
  }

  /** Audio was sent and nothing came back for too long. */
  silent(): void {
    const seconds = this.#options.idleTimeoutMs / 1000;
    const text = `the server answered nothing for ${seconds} s, though audio was sent`;
    const error = new MoshiError('silent', text, { retryable: true });
    if (this.#state.status === 'ready' && this.#mayReconnect(error)) {
      const attempt = this.#attempt;
      attempt.connection.abandon(this.resumable ? CLOSE_RESUMING : CLOSE_SILENT, 'server silent');
      this.#lost(attempt, { ...LOST, error });
      return;
    }
    this.#told = error;
    this.leave(CLOSE_SILENT, 'server silent', error);
    this.#host.emit('error', error);
  }

  readonly #onAbort = () => {
    if (this.#established) this.leave(1000, '');
    else this.#attempt.connection.fail(aborted(this.#options.signal?.reason));
  };

  /** A connection that is not open yet. */
  #prepare(asked?: ResumeRequest): Attempt {
    const attempt: Attempt = {
      ...(asked && { asked }),
      connection: new Connection(this.#options, {
        heard: () => this.#audio.heard(),
        waiting: (event) => this.#onWaiting(attempt, event),
        ready: () => this.#onReady(attempt),
        message: (message) => {
          if (message.type !== 'error' && message.type !== 'handshake' && message.type !== 'metadata') {
            this.#proven = true;
          }
          this.#host.message(message);
        },
        malformed: (error) => this.#host.emit('error', error),
        closed: (end) => this.#lost(attempt, end),
      }),
    };
    return attempt;
  }

  /** Something changed for the better: what was begun before may hang for long. */
  #hurry(): void {
    const { connection } = this.#attempt;
    this.#reconnector?.hurry();
    if (this.#state.status !== 'reconnecting' || connection !== this.#attempt.connection) return;
    if (connection.opened || connection.over) return;
    connection.abandon(1000, '');
    this.#dialAgain();
  }

  #dialAgain(): void {
    const { offer } = this.#peer;
    const asked = offer && { token: offer.token, received: this.#receivedBefore };
    const url = new URL(this.#options.url);
    for (const [name, value] of asked ? resumeQuery(asked) : []) url.searchParams.set(name, value);
    this.#attempt = this.#prepare(asked);
    this.#attempt.connection.open(url, { answersMs: ANSWERS_MS, greets: asked !== undefined });
  }

  #onWaiting(attempt: Attempt, event: WaitingEvent): void {
    // Whoever is let back in does not wait: only a place in line says that this one is not.
    if (attempt.asked && event.position === undefined) return;
    if (this.#become({ status: 'waiting', ...event })) this.#host.emit('waiting', event);
  }

  #onReady(attempt: Attempt): void {
    const { connection, asked } = attempt;
    const { resumed } = connection.peer;
    if (asked && resumed && resumed.next !== asked.received + 1) {
      const text = `the server went on with message ${resumed.next} in place of ${asked.received + 1}`;
      connection.fail(new MoshiError('malformed', text));
    } else if (this.#established && !(asked && resumed) && this.#options.reconnect?.newConversation === false) {
      const why = connection.peer.notResumed ?? 'unknown';
      connection.fail(new MoshiError('closed', `the server has not kept the conversation (${why})`));
    } else if (this.#established) {
      this.#load(attempt, !(asked && resumed));
    } else {
      this.#begin(attempt);
    }
  }

  #load(attempt: Attempt, decodes: boolean): void {
    this.#options.sound.createCodecs(this.#options, decodes).then(
      (codecs) => {
        if (attempt.connection.over) codecs.free();
        else attempt.codecs = codecs;
        this.#begin(attempt);
      },
      (cause) => attempt.connection.fail(codecFailure(cause)),
    );
  }

  /** Puts a connection to use when both sides are ready. */
  #begin(attempt: Attempt): void {
    const { connection, asked, codecs } = attempt;
    if (!connection.peer.ready || !codecs || connection.over || connection.begun) return;
    const loss = this.#loss;
    const wasEstablished = this.#established;
    this.#established = true;
    this.#loss = undefined;
    this.#peer = connection.peer;
    this.#readyAt = performance.now();
    this.#proven = false;
    connection.begin();
    const { resumed } = connection.peer;
    const awayMs = loss ? this.#readyAt - loss.at : 0;
    if (asked && resumed) {
      // An engine that does not keep up would never catch up with what was said meanwhile.
      const keep = (connection.peer.metadata as { keepsUp?: unknown } | undefined)?.keepsUp !== false;
      const resent = this.#audio.goOn(connection, codecs.stream, resumed.heard, keep);
      for (const message of this.#sent.after(resumed.taken ?? Number.POSITIVE_INFINITY)) connection.send(message);
      this.#become({ status: 'ready' });
      this.#host.emit('resumed', { awayMs, replayedMessages: resumed.replayed ?? 0, ...resent });
      return;
    }
    this.#receivedBefore = 0;
    this.#sent.clear();
    if (wasEstablished) this.#host.renewed();
    this.#audio.begin(connection, codecs);
    this.#settle?.resolve();
    this.#become({ status: 'ready' });
    if (!wasEstablished) return;
    const reason: NewConversationEvent['reason'] = asked ? (connection.peer.notResumed ?? 'unknown') : 'not-offered';
    this.#host.emit('new-conversation', { awayMs, reason });
  }

  #mayReconnect(error: MoshiError | undefined): error is MoshiError {
    if (!this.#reconnector || !this.#established || this.#state.status === 'closing') return false;
    const pointless = this.#options.reconnect?.newConversation === false && !this.#peer.offer;
    return error?.retryable === true && !pointless;
  }

  #lost(attempt: Attempt, end: ClosedEvent): void {
    if (attempt !== this.#attempt || this.#state.status === 'closed') return;
    const { connection } = attempt;
    if (connection.begun) {
      this.#receivedBefore += connection.received;
      const held = performance.now() - this.#readyAt > SETTLED_MS;
      if (this.#proven || held) this.#reconnector?.settled();
    }
    if (!this.#mayReconnect(end.error)) {
      this.#end(end);
      return;
    }
    this.#loss ??= { end, at: performance.now() };
    freeUnused(attempt);
    this.#audio.halt();
    const next = this.#reconnector?.failed(end.error, this.#peer.offer?.graceMs);
    if (!next) {
      this.#end(this.#loss.end);
      return;
    }
    const isSo = this.#become({ status: 'reconnecting', attempt: next.attempt, error: end.error });
    if (isSo) this.#host.emit('reconnecting', next);
  }

  /** False when a listener has ended it meanwhile: nothing follows then. */
  #become(state: SessionState): boolean {
    this.#state = state;
    this.#host.emit('state', state);
    return this.#state === state;
  }

  #end(end: ClosedEvent): void {
    const { code, reason, error } = end;
    const state: SessionState = { status: 'closed', code, reason, ...(error && { error }) };
    // Everything is settled before listeners are called: theirs may be any code.
    this.#state = state;
    this.#reconnector?.stop();
    this.#unwatch?.();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    if (error && !this.#established) this.#settle?.reject(error);
    this.#resolveClosed();
    freeUnused(this.#attempt);
    this.#audio.release();
    this.#host.ended(error);
    this.#audio.flush();
    if (this.#established && error && error !== this.#told) this.#host.emit('error', error);
    this.#host.emit('state', state);
    this.#host.emit('closed', end);
  }
}

/** Codecs of a connection that was never put to use are nobody else's to free. */
function freeUnused({ connection, codecs }: Attempt): void {
  if (!connection.begun) codecs?.free();
}

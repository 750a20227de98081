import { type ClientMessage, decodeMessage, encodeClientMessage, type Message } from '@moshi/protocol';
import { displayUrl } from '../endpoint';
import { MoshiError } from '../errors';
import type { ClosedEvent, WaitingEvent } from '../events';
import { explainClose, tooSlow } from '../explain';
import type { ResolvedOptions } from '../options';
import type { Timer } from '../timer';
import type { Transport, TransportClose } from '../transport';
import { Mailbox } from './mailbox';
import { Opening } from './opening';
import { Peer } from './peer';

/** How long the server may take to answer a close. */
const CLOSE_TIMEOUT_MS = 2000;
const BROKEN: TransportClose = { code: 1006, reason: '', clean: false };

/** What a {@link Connection} tells. Nothing comes after `closed`, whatever the socket still brings. */
export interface ConnectionHandlers {
  /** The server gave a sign of life. */
  heard(): void;
  /** The socket is open, or the server told the place in line. */
  waiting(event: WaitingEvent): void;
  /** The server is ready: {@link Connection.begin} may follow. */
  ready(): void;
  /** A message; in order, and not before `begin`. */
  message(message: Message): void;
  /** A message that could not be read, in its place. */
  malformed(error: MoshiError): void;
  /** The end, once; after all messages if it had begun. */
  closed(end: ClosedEvent): void;
}

/** One socket to a server, from the first byte to the last: handshake, messages, goodbye. */
export class Connection {
  /** What the server said of itself. */
  readonly peer: Peer;
  readonly #options: ResolvedOptions;
  readonly #url: string;
  /** Undefined until it is opened, and where none could be made. */
  #transport: Transport | undefined;
  readonly #handlers: ConnectionHandlers;
  readonly #mailbox = new Mailbox();
  #opening: Opening | undefined;
  #openedAt: number | undefined;
  #greets = false;
  #begun = false;
  #leaving = false;
  #over = false;
  #received = 0;
  #failure: MoshiError | undefined;
  #closeTimer: Timer | undefined;

  constructor(options: ResolvedOptions, handlers: ConnectionHandlers) {
    this.#options = options;
    this.#url = displayUrl(options.url);
    this.#handlers = handlers;
    this.peer = new Peer(options);
  }

  /** {@link begin} was called. */
  get begun(): boolean {
    return this.#begun;
  }

  /** It has ended, or nobody wants it any more. */
  get over(): boolean {
    return this.#over;
  }

  /** The socket has been open. */
  get opened(): boolean {
    return this.#openedAt !== undefined;
  }

  /** Binary messages handed out that came after the handshake. */
  get received(): number {
    return this.#received;
  }

  /** Bytes that the network has not taken yet. */
  get bufferedAmount(): number {
    return this.#transport?.bufferedAmount ?? 0;
  }

  /**
   * Connects; whatever goes wrong is told by `closed`. `answersMs`: how long the server may take to answer at all, where
   * that is less than to be ready; `greets`: the open socket alone is no answer yet.
   */
  open(url: URL, { answersMs = 0, greets = false }: { answersMs?: number; greets?: boolean } = {}): void {
    const { handshakeTimeoutMs } = this.#options;
    const firstMs = answersMs > 0 ? Math.min(answersMs, handshakeTimeoutMs || answersMs) : handshakeTimeoutMs;
    this.#greets = greets;
    this.#opening = new Opening(handshakeTimeoutMs, firstMs, (ms) => this.fail(tooSlow(this.#url, this.opened, ms)));
    try {
      this.#transport = this.#options.transport();
      this.#transport.open(url.href, {
        open: () => this.#onOpen(),
        message: (data) => this.#onMessage(data),
        close: (close) => this.#onClose(close),
      });
    } catch (cause) {
      this.fail(new MoshiError('unreachable', `the transport did not open: ${String(cause)}`, { cause }));
    }
  }

  /** This side is ready too: what came and what comes is handed out, from the next task on. */
  begin(): void {
    this.#begun = true;
    this.#opening?.stop();
    // The caller attaches its listeners right after `await connect()`: by the next task it has.
    setTimeout(() => this.#mailbox.open(), 0);
  }

  send(message: ClientMessage): void {
    this.#transport?.send(encodeClientMessage(message));
  }

  /** Gives up before {@link begin}. */
  fail(error: MoshiError): void {
    if (this.#over || this.#begun) return;
    this.#failure = error;
    try {
      this.#end(BROKEN);
    } finally {
      if (!this.opened) this.#transport?.terminate();
      else this.#hangUp(1000, '');
    }
  }

  /** Says goodbye once, and does not wait for the answer for ever; `because` is then why it ended. */
  leave(code: number, reason: string, because?: MoshiError): void {
    if (this.#over || this.#leaving) return;
    this.#leaving = true;
    this.#failure = because;
    this.#hangUp(code, reason);
  }

  /** Lets go without a word to the handlers; the server is told, if it can be. */
  abandon(code: number, reason: string): void {
    this.#over = true;
    this.#opening?.stop();
    if (this.opened) this.#transport?.close(code, reason);
    this.#transport?.terminate();
  }

  #onOpen(): void {
    if (this.#over || this.opened) return;
    this.#openedAt = performance.now();
    if (!this.#greets) this.#opening?.alive();
    this.#handlers.waiting({});
  }

  #onMessage(data: Uint8Array | string): void {
    if (this.#over) return;
    this.#handlers.heard();
    if (!this.#begun && !this.#opening?.accept(data.length)) {
      this.fail(new MoshiError('malformed', 'the server sent over 1 MiB before it was ready: check the path'));
      return;
    }
    const counted = typeof data !== 'string' && this.peer.ready ? 1 : 0;
    let message: Message;
    try {
      if (typeof data === 'string') throw new TypeError('a text frame, and only binary ones mean anything');
      message = decodeMessage(data);
    } catch (cause) {
      const text = `a message could not be read: ${cause instanceof Error ? cause.message : String(cause)}`;
      this.#deliver(counted, () => this.#handlers.malformed(new MoshiError('malformed', text, { cause })));
      return;
    }
    const wasReady = this.peer.ready;
    this.peer.learn(message);
    this.#deliver(counted, () => this.#handlers.message(message));
    if (this.#begun) return;
    if (message.type === 'event' && message.name === 'waiting') this.#handlers.waiting(place(message.data));
    if (!wasReady && this.peer.ready) this.#handlers.ready();
  }

  #deliver(counted: number, task: () => void): void {
    this.#mailbox.deliver(() => {
      if (this.#over) return;
      this.#received += counted;
      task();
    });
  }

  #hangUp(code: number, reason: string): void {
    this.#closeTimer = setTimeout(() => {
      this.#transport?.terminate();
      this.#end(BROKEN);
    }, CLOSE_TIMEOUT_MS);
    this.#transport?.close(code, reason);
  }

  #onClose(close: TransportClose): void {
    clearTimeout(this.#closeTimer);
    if (this.#begun) this.#mailbox.deliver(() => this.#end(close));
    else this.#end(close);
  }

  #end(close: TransportClose): void {
    if (this.#over) return;
    this.#over = true;
    this.#opening?.stop();
    const error = this.#failure ?? (this.#leaving ? undefined : this.#explain(close));
    const { code, reason, clean } = close;
    this.#handlers.closed({ code, reason, clean, ...(error && { error }) });
  }

  #explain(close: TransportClose): MoshiError | undefined {
    const end = {
      url: this.#url,
      dialect: this.peer.dialect,
      opened: this.opened,
      ready: this.#begun,
      personaMissing: this.#options.dialect === 'auto' && !this.#options.persona,
      msSinceOpen: performance.now() - (this.#openedAt ?? performance.now()),
      serverError: this.peer.error,
    };
    return explainClose(close, end, this.#options.sound.closeWords);
  }
}

function place(data: unknown): WaitingEvent {
  const position = (data as { position?: unknown } | null | undefined)?.position;
  return typeof position === 'number' ? { position } : {};
}

import type { ServerLimits } from '../options';
import type { ExplainingSocket } from './explaining-socket';
import { Heartbeat } from './heartbeat';
import { Outbox } from './outbox';
import { Reading } from './reading';
import { closeReason } from './refuse-socket';
import type { SessionEnd } from './server-session';

/** What a {@link Link} tells. */
export interface LinkHandlers {
  message(data: Buffer, isBinary: boolean): void;
  /** So much is on its way that no more should be made, or that is over. */
  full(full: boolean): void;
  /** It was full for too long. */
  slow(): void;
  /** Reading goes on after a time in which the client had no chance to be heard. */
  readAgain(): void;
  /** The client answers no pings: it is dropped. */
  dead(): void;
  /** The client broke the rules of WebSocket, or a limit; the close frame is sent, `closed` follows. */
  violated(end: SessionEnd, error: Error): void;
  /** The socket is gone. */
  closed(end: SessionEnd): void;
}

/** One socket of a session: both directions paced, pings, goodbye. After {@link Link.drop} it tells nothing, whatever still comes. */
export class Link {
  readonly #socket: ExplainingSocket;
  readonly #limits: ServerLimits;
  readonly #reading: Reading;
  readonly #outbox: Outbox;
  readonly #heartbeat: Heartbeat;
  #dropped = false;
  #closing: NodeJS.Timeout | undefined;

  constructor(socket: ExplainingSocket, limits: ServerLimits, handlers: LinkHandlers) {
    this.#socket = socket;
    this.#limits = limits;
    this.#reading = new Reading(socket, () => handlers.readAgain());
    this.#outbox = new Outbox(socket, {
      limitBytes: limits.bufferedOutputBytes,
      slowMs: limits.slowReaderMs,
      onFull: (full) => {
        this.#reading.room('output', !full);
        handlers.full(full);
      },
      onSlow: () => handlers.slow(),
    });
    this.#heartbeat = new Heartbeat(
      socket,
      limits.pingMs,
      () => this.#reading.stopped,
      () => {
        handlers.dead();
        socket.terminate();
      },
    );
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (this.#dropped) return;
      this.#heartbeat.heard();
      handlers.message(data, isBinary);
    });
    socket.on('error', (error) => {
      if (!this.#dropped && socket.violation) handlers.violated(socket.violation, error);
    });
    socket.on('close', (code, reason) => {
      clearTimeout(this.#closing);
      this.#heartbeat.stop();
      this.#outbox.stop();
      if (!this.#dropped) handlers.closed({ code, reason: reason.toString() });
    });
  }

  /** Whether enough is on its way to the client. */
  get full(): boolean {
    return this.#outbox.full;
  }

  /** Whether nothing is read from the client. */
  get deaf(): boolean {
    return this.#reading.stopped;
  }

  send(message: Uint8Array): void {
    this.#outbox.send(message);
  }

  /** Whether there is room for what the client sends. */
  read(on: boolean): void {
    this.#reading.room('input', on);
  }

  close(code: number, reason: string): void {
    this.#socket.close(code, closeReason(reason));
  }

  /** Nothing is sent any more; the socket is destroyed if the client does not end it. */
  finish(): void {
    this.#reading.end();
    this.#heartbeat.stop();
    this.#outbox.stop();
    this.#closing = setTimeout(() => this.#socket.terminate(), this.#limits.closeMs);
  }

  /** Another socket takes its place. */
  drop(): void {
    this.#dropped = true;
    this.#heartbeat.stop();
    this.#outbox.stop();
    this.#socket.terminate();
  }
}

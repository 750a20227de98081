import type { WebSocket } from 'ws';

/** What happens around an {@link Outbox}. */
export interface OutboxOptions {
  /** Bytes not yet taken by the peer from which on the outbox counts as full. */
  limitBytes: number;
  /** Milliseconds it may stay full. */
  slowMs: number;
  /** It is full, or it was and is at most half full now. */
  onFull(full: boolean): void;
  /** It stayed full for too long. */
  onSlow(): void;
}

/** Sends messages and knows when the peer does not keep up. */
export class Outbox {
  readonly #socket: WebSocket;
  readonly #options: OutboxOptions;
  #full = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, options: OutboxOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  /** True from the moment too much is on its way until half of it was taken. */
  get full(): boolean {
    return this.#full;
  }

  /** Sends one encoded message; does nothing once the socket closes. */
  send(message: Uint8Array): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(message, { binary: true }, () => this.#sent());
    if (this.#full || this.#socket.bufferedAmount <= this.#options.limitBytes) return;
    this.#full = true;
    this.#options.onFull(true);
    this.#timer = setTimeout(() => this.#options.onSlow(), this.#options.slowMs);
  }

  /** Stops waiting for the peer. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#full = false;
  }

  #sent(): void {
    if (!this.#full || this.#socket.bufferedAmount > this.#options.limitBytes / 2) return;
    this.stop();
    this.#options.onFull(false);
  }
}

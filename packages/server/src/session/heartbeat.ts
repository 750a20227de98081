import type { WebSocket } from 'ws';

/** Finds peers that vanished without a word: pings (with an empty payload) and expects to hear something before the next one. */
export class Heartbeat {
  readonly #socket: WebSocket;
  readonly #deaf: () => boolean;
  readonly #onDead: () => void;
  #timer: NodeJS.Timeout | undefined;
  #verdict: NodeJS.Immediate | undefined;
  #heard = true;

  /** `ms` between pings, 0 = none; `deaf()` is true while we do not read, so that silence means nothing. */
  constructor(socket: WebSocket, ms: number, deaf: () => boolean, onDead: () => void) {
    this.#socket = socket;
    this.#deaf = deaf;
    this.#onDead = onDead;
    socket.on('pong', () => this.heard());
    if (ms > 0) this.#timer = setInterval(() => this.#tick(), ms);
  }

  /** The peer lives. */
  heard(): void {
    this.#heard = true;
  }

  /** No more pings. */
  stop(): void {
    clearInterval(this.#timer);
    clearImmediate(this.#verdict);
  }

  #tick(): void {
    // After a stall of our own (a laptop that slept) the pong may lie in the socket unread: it is read before this runs.
    this.#verdict = setImmediate(() => {
      if (!this.#heard && !this.#deaf()) {
        this.#onDead();
        return;
      }
      this.#heard = this.#deaf();
      // The payload stays empty: some clients parse a ping's payload as a message.
      if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
    });
  }
}

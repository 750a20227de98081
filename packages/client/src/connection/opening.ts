import { startTimer, type Timer } from '../timer';

/** What a server may send before it is ready: metadata and places in line, nothing large. */
const MAX_EARLY_BYTES = 1024 * 1024;
const MESSAGE_OVERHEAD_BYTES = 64;

/** The time until a connection can be used: how long the server may be silent, and how much it may send. */
export class Opening {
  readonly #timeoutMs: number;
  readonly #onTimeout: (timeoutMs: number) => void;
  #bytes = 0;
  #timer: Timer | undefined;

  /** `firstMs`: how long it may take until the first sign of life. */
  constructor(timeoutMs: number, firstMs: number, onTimeout: (timeoutMs: number) => void) {
    this.#timeoutMs = timeoutMs;
    this.#onTimeout = onTimeout;
    this.#startTimer(firstMs);
  }

  /** The server gave a sign of life. */
  alive(): void {
    this.#startTimer(this.#timeoutMs);
  }

  /** Counts a message of the server; false when it sent more than a server would. */
  accept(bytes: number): boolean {
    this.alive();
    this.#bytes += bytes + MESSAGE_OVERHEAD_BYTES;
    return this.#bytes <= MAX_EARLY_BYTES;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #startTimer(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = startTimer(() => this.#onTimeout(ms), ms);
  }
}

import type { MoshiError } from './errors';
import { startTimer, type Timer } from './timer';

/** What a server may send before it is ready: metadata and places in line, nothing large. */
const MAX_EARLY_BYTES = 1024 * 1024;
const MESSAGE_OVERHEAD_BYTES = 64;

export interface OpeningOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  onTimeout(): void;
  onAbort(reason: unknown): void;
}

/** The time from `connect` until ready: its timeout, its limit on what the server may send, and its promise. */
export class Opening {
  /** Settled once, by `resolve` or `reject`. */
  readonly done: Promise<void>;
  resolve: () => void = () => {};
  reject: (error: MoshiError) => void = () => {};
  readonly #options: OpeningOptions;
  #bytes = 0;
  #timer: Timer | undefined;

  constructor(options: OpeningOptions) {
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#startTimer();
  }

  /** Counts a message of the server, which is alive then; false when it sent more than a server would. */
  accept(bytes: number): boolean {
    this.#startTimer();
    this.#bytes += bytes + MESSAGE_OVERHEAD_BYTES;
    return this.#bytes <= MAX_EARLY_BYTES;
  }

  /** Ends the timeout; the signal is obeyed until `stop`. */
  ready(): void {
    clearTimeout(this.#timer);
    this.resolve();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }

  readonly #onAbort = () => this.#options.onAbort(this.#options.signal?.reason);

  #startTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = startTimer(this.#options.onTimeout, this.#options.timeoutMs);
  }
}

/** What passes through a lane: done at once, or when the promise resolves. */
type Step = () => void | Promise<void>;

/**
 * Keeps things in order that may take their time: while one step waits for its promise, those that come after it queue up.
 * As long as no step is asynchronous everything happens at once, as if there were no lane.
 */
export class Lane {
  readonly #onIdle: () => void;
  readonly #onError: (error: unknown) => void;
  #queue: Step[] = [];
  #busy = false;
  #stopped = false;

  /** `onIdle` after a wait is over and nothing is left; `onError` when a step throws or rejects: the lane stops then. */
  constructor(onIdle: () => void, onError: (error: unknown) => void) {
    this.#onIdle = onIdle;
    this.#onError = onError;
  }

  /** Steps that are not through. */
  get waiting(): number {
    return this.#queue.length + (this.#busy ? 1 : 0);
  }

  /** Does the step now, or after those before it. */
  pass(step: Step): void {
    if (this.#stopped) return;
    if (this.#busy) this.#queue.push(step);
    else this.#do(step);
  }

  /** Forgets what waits; a step on its way ends on its own. */
  clear(): void {
    this.#queue = [];
  }

  /** Nothing passes from now on. */
  stop(): void {
    this.#stopped = true;
    this.clear();
  }

  #do(step: Step): void {
    try {
      const pending = step();
      if (pending === undefined) return;
      this.#busy = true;
      pending.then(
        () => this.#next(),
        (error) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  #next(): void {
    this.#busy = false;
    while (!this.#busy && !this.#stopped) {
      const step = this.#queue.shift();
      if (!step) {
        this.#onIdle();
        return;
      }
      this.#do(step);
    }
  }

  #fail(error: unknown): void {
    this.#busy = false;
    if (this.#stopped) return;
    this.stop();
    this.#onError(error);
  }
}

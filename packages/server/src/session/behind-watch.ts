/** Sound that waits for less than this is a moment's jitter. */
const LATE_MS = 400;
/** For so long it has to be late, and so often it is told. */
const PATIENCE_MS = 2000;
const LOOK_MS = 500;

/** Notices that an engine does not keep up with what it is sent. */
export class BehindWatch {
  readonly #tell: (ms: number) => void;
  /** When it became late. */
  #since: number | undefined;
  #toldAt: number | undefined;

  /** `tell` gets how late it is, every two seconds while it is, and once 0 when that is over. */
  constructor(tell: (ms: number) => void) {
    this.#tell = tell;
  }

  /** Looks twice a second at how much waits; returns how to stop. */
  start(waitingMs: () => number): () => void {
    const timer = setInterval(() => this.look(waitingMs(), performance.now()), LOOK_MS);
    return () => clearInterval(timer);
  }

  /** `now` is any clock in milliseconds. */
  look(waitingMs: number, now: number): void {
    if (waitingMs <= LATE_MS) {
      this.#since = undefined;
      if (this.#toldAt !== undefined) this.#tell(0);
      this.#toldAt = undefined;
      return;
    }
    this.#since ??= now;
    const last = this.#toldAt ?? this.#since;
    if (now - last < PATIENCE_MS) return;
    this.#toldAt = now;
    this.#tell(waitingMs);
  }
}

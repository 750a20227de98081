/** The timers of one session. */
export class Deadlines {
  readonly #timers = new Set<NodeJS.Timeout>();
  #idle: NodeJS.Timeout | undefined;

  /** Calls `then` after `ms`, unless cleared before. */
  after(ms: number, then: () => void): void {
    this.#timers.add(setTimeout(then, ms));
  }

  /** Calls `then` after `ms` without {@link refresh}; while `deaf()` is true silence is our doing and does not count. */
  idle(ms: number, deaf: () => boolean, then: () => void): void {
    this.#idle = setTimeout(() => {
      if (deaf()) this.#idle?.refresh();
      else then();
    }, ms);
    this.#timers.add(this.#idle);
  }

  /** The client was heard. */
  refresh(): void {
    this.#idle?.refresh();
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#idle = undefined;
  }
}

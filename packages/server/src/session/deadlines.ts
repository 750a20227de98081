import type { ServerLimits } from '../options';

/** The timers of one session. */
export class Deadlines {
  readonly #timers = new Set<NodeJS.Timeout>();
  #idle: NodeJS.Timeout | undefined;

  /**
   * A conversation begins: `end` is called with the reason, short and long, when the client has said nothing for too long,
   * or it has lasted too long. While `deaf()` is true silence is our doing and does not count.
   */
  begin(
    { idleMs, sessionMs }: ServerLimits,
    deaf: () => boolean,
    end: (reason: string, message: string) => void,
  ): void {
    const idle = () => {
      if (deaf()) this.#idle?.refresh();
      else end('idle', `No audio came for ${idleMs} ms: send silence while muted.`);
    };
    const over = () => end('session limit', `A conversation here may last ${sessionMs} ms.`);
    if (idleMs > 0) this.#idle = this.#after(idleMs, idle);
    if (sessionMs > 0) this.#after(sessionMs, over);
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

  #after(ms: number, then: () => void): NodeJS.Timeout {
    const timer = setTimeout(then, ms);
    this.#timers.add(timer);
    return timer;
  }
}

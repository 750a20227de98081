/** A deviation below this is how coarsely browsers tell the time. */
const JUMP_MS = 20;
const FOLLOWED = 0.1;

/** Brings moments of an AudioContext to `performance.now()`. */
export class ContextClock {
  readonly #context: AudioContext;
  /** `performance.now()` less the context's time, for what leaves the loudspeaker. */
  #offset: number | undefined;

  constructor(context: AudioContext) {
    this.#context = context;
  }

  /** When the sample at this second of the context leaves the loudspeaker. */
  heardAt(seconds: number): number {
    const { contextTime, performanceTime } = (this.#mayAsk && this.#context.getOutputTimestamp?.()) || {};
    const offset =
      contextTime && performanceTime
        ? performanceTime - contextTime * 1000
        : performance.now() - this.#context.currentTime * 1000 + this.#latencyMs;
    const deviation = offset - (this.#offset ?? offset);
    if (this.#offset === undefined || Math.abs(deviation) > JUMP_MS) this.#offset = offset;
    else this.#offset += FOLLOWED * deviation;
    return seconds * 1000 + this.#offset;
  }

  /** When the sample at this second of the context is computed. */
  computedAt(seconds: number): number {
    return this.heardAt(seconds) - this.#latencyMs;
  }

  /**
   * A context that has no latency of its own computes while the system waits (Firefox). Asked how late it is heard, it lets the
   * page wait for the system in turn: with PulseAudio both may then stand still for a minute.
   */
  get #mayAsk(): boolean {
    return this.#context.baseLatency !== 0;
  }

  get #latencyMs(): number {
    if (!this.#mayAsk) return 0;
    const { outputLatency, baseLatency } = this.#context;
    return 1000 * (outputLatency || baseLatency || 0);
  }
}

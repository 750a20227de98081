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
    const { contextTime, performanceTime } = this.#context.getOutputTimestamp?.() ?? {};
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

  get #latencyMs(): number {
    const { outputLatency, baseLatency } = this.#context;
    return 1000 * (outputLatency || baseLatency || 0);
  }
}

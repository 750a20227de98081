/** Pipes and standstills let a microphone's sound come in bursts of up to so much. */
const BURST_MS = 2000;
/** A device's clock is never as far from ours. */
const SPEED = 1.01;

/** Tells a microphone, whose sound takes as long as it is, from what gives it as fast as it is read, such as ALSA's `null`. */
export class Pace {
  readonly #rate: number;
  #at = performance.now();
  #aheadMs = 0;

  constructor(samplesPerSecond: number) {
    this.#rate = samplesPerSecond;
  }

  /** So many samples came. Returns milliseconds after which more may come. */
  wait(samples: number): number {
    const now = performance.now();
    this.#aheadMs = Math.max(0, this.#aheadMs - (now - this.#at) * SPEED) + (samples / this.#rate) * 1000;
    this.#at = now;
    return Math.max(0, this.#aheadMs - BURST_MS);
  }
}

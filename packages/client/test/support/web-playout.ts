/** What the official web page's limits are: those of its present source, or those it was published with. */
export interface WebPlayoutRules {
  readonly overflowMs: number;
  readonly overflowStepMs: number;
  readonly maxOverflowMs: number;
}

export const webPlayoutRules: Readonly<Record<'present' | 'published', WebPlayoutRules>> = {
  present: { overflowMs: 10, overflowStepMs: 100, maxOverflowMs: 800 },
  published: { overflowMs: 10, overflowStepMs: 5, maxOverflowMs: 80 },
};

/** The official web page's rules of playing, by amounts alone, as the measure for ours. */
export class WebPlayout {
  readonly #perMs: number;
  readonly #rules: WebPlayoutRules;
  #overflowMs: number;
  #partialMs = 10;
  #waiting = 0;
  #partialLeft = 0;
  #started = false;
  #played = false;
  missed = 0;
  dropped = 0;

  constructor(sampleRate: number, rules: WebPlayoutRules) {
    this.#perMs = sampleRate / 1000;
    this.#rules = rules;
    this.#overflowMs = rules.overflowMs;
  }

  push(samples: number): void {
    this.#waiting += samples;
    if (this.#waiting >= 80 * this.#perMs && !this.#started) {
      this.#started = true;
      this.#partialLeft = this.#partialMs * this.#perMs;
    }
    const target = (80 + this.#partialMs) * this.#perMs;
    if (this.#waiting < target + this.#overflowMs * this.#perMs) return;
    this.dropped += this.#waiting - target;
    this.#waiting = target;
    this.#overflowMs = Math.min(this.#rules.maxOverflowMs, this.#overflowMs + this.#rules.overflowStepMs);
  }

  pull(samples: number): void {
    if (!this.#started || this.#waiting === 0 || this.#partialLeft > 0) {
      this.#partialLeft -= samples;
      if (this.#played) this.missed += samples;
      return;
    }
    const count = Math.min(samples, this.#waiting);
    this.#waiting -= count;
    this.#played = true;
    if (count === samples) return;
    this.missed += samples - count;
    this.#partialMs = Math.min(80, this.#partialMs + 5);
    this.#started = false;
  }
}

const TICK_MS = 10;

/**
 * Calls with how many samples have become due, about every 10 ms, so that in the long run none is missing however late timers
 * are. A process that stood still for longer than `mostAtOnceMs` goes on from where it woke up.
 */
export class Metronome {
  readonly #rate: number;
  readonly #due: (samples: number) => void;
  readonly #most: number;
  readonly #timer: NodeJS.Timeout;
  #startedAt = performance.now();
  #given = 0;

  constructor(samplesPerSecond: number, due: (samples: number) => void, mostAtOnceMs = 500) {
    this.#rate = samplesPerSecond;
    this.#due = due;
    this.#most = Math.round((mostAtOnceMs / 1000) * samplesPerSecond);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const owed = this.#owed();
    const samples = Math.min(owed, this.#most);
    this.#startedAt += ((owed - samples) / this.#rate) * 1000;
    this.#given += samples;
    if (samples > 0) this.#due(samples);
  }

  #owed(): number {
    return Math.floor(((performance.now() - this.#startedAt) / 1000) * this.#rate) - this.#given;
  }
}

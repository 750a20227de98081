const TICK_MS = 10;
/** A process that slept longer goes on from where it woke up. */
const MOST_AT_ONCE_MS = 500;

/** Calls with how many samples have become due, about every 10 ms, so that in the long run none is missing however late timers are. */
export class Metronome {
  readonly #rate: number;
  readonly #due: (samples: number) => void;
  readonly #timer: NodeJS.Timeout;
  #startedAt = performance.now();
  #given = 0;

  constructor(samplesPerSecond: number, due: (samples: number) => void) {
    this.#rate = samplesPerSecond;
    this.#due = due;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const owed = this.#owed();
    const most = (MOST_AT_ONCE_MS / 1000) * this.#rate;
    if (owed > most) this.#startedAt += ((owed - most) / this.#rate) * 1000;
    const samples = Math.min(owed, most);
    this.#given += samples;
    if (samples > 0) this.#due(samples);
  }

  #owed(): number {
    return Math.floor(((performance.now() - this.#startedAt) / 1000) * this.#rate) - this.#given;
  }
}

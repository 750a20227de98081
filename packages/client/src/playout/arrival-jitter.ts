const WINDOW_MS = 20_000;
/** Pushes this close together are one message's, or one burst's: only its first one can come too late. */
const BURST_MS = 10;
/** Nothing for so long is a pause or an outage, which no margin bridges: what was known of the network is void. */
const OUTAGE_MS = 400;
/** Whoever begins loads, compiles and catches up with himself for so long: that says nothing of the network. */
const SETTLING_MS = 1500;
/** What was late once in the window is left to chance, what was late twice is how this network is. */
const LEFT_TO_CHANCE = 1;

interface Arrival {
  readonly atMs: number;
  readonly lateMs: number;
}

/** How unevenly sound arrives: how much later than the earliest arrival all others of the last 20 seconds were, but for the latest. */
export class ArrivalJitter {
  readonly #window: Arrival[] = [];
  /** The same arrivals' lateness, ascending. */
  readonly #sorted: number[] = [];
  #lastPushMs: number | undefined;
  #settledMs: number | undefined;

  /** Sound that begins at `time` seconds arrived at `nowMs`, on any steady clock. */
  push(time: number, nowMs: number): void {
    const pauseMs = this.#lastPushMs === undefined ? Number.POSITIVE_INFINITY : nowMs - this.#lastPushMs;
    this.#lastPushMs = nowMs;
    if (pauseMs < BURST_MS) return;
    if (pauseMs > OUTAGE_MS) this.clear();
    this.#settledMs ??= nowMs + SETTLING_MS;
    if (nowMs < this.#settledMs) return;
    while (this.#window.length > 0 && this.#window[0]!.atMs < nowMs - WINDOW_MS) {
      this.#sorted.splice(this.#place(this.#window.shift()!.lateMs), 1);
    }
    const lateMs = nowMs - time * 1000;
    this.#window.push({ atMs: nowMs, lateMs });
    this.#sorted.splice(this.#place(lateMs), 0, lateMs);
  }

  /** Milliseconds that arrivals differ by. */
  get ms(): number {
    const latest = this.#sorted.length - 1 - LEFT_TO_CHANCE;
    return latest < 0 ? 0 : this.#sorted[latest]! - this.#sorted[0]!;
  }

  /** How much later than the earliest of them the last one was. */
  get lastMs(): number {
    const last = this.#window[this.#window.length - 1];
    return last ? last.lateMs - this.#sorted[0]! : 0;
  }

  /** What comes next is on another clock. */
  clear(): void {
    this.#window.length = 0;
    this.#sorted.length = 0;
  }

  /** Where a lateness is, or belongs, in the sorted ones. */
  #place(lateMs: number): number {
    let low = 0;
    for (let high = this.#sorted.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle]! < lateMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

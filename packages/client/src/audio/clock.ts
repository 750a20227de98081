import type { OutputStatus } from './platform';
import type { PlaybackClock } from './types';

/** What is heard from one moment on, until the next anchor. */
interface Anchor {
  /** `performance.now()`. */
  atMs: number;
  /** Seconds on the reply's clock. */
  readonly time: number;
  readonly running: boolean;
  /** Seconds on the reply's clock up to which sound is there. */
  until: number;
}

/** Deviations below this are the clocks' own unrest, and are followed slowly. */
const UNREST_MS = 5;
const UNREST_SHARE = 0.1;
/** Sound left out between two anchors that is no loss: quiet that was trimmed. */
const TRIMMED_SECONDS = 0.05;
const KEPT_MS = 60_000;

/** Knows from an output's reports which second of the reply is heard at which moment. */
export class OutputClock implements PlaybackClock {
  readonly #now: () => number;
  #anchors: Anchor[] = [];
  /** The latest second told, so that the clock never goes back. */
  #told: number | undefined;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Takes the next report. */
  note({ state, time, atMs, bufferedMs }: OutputStatus): void {
    if (time === undefined) return;
    const running = state === 'playing';
    const until = running ? time + bufferedMs / 1000 : time;
    const last = this.#anchors[this.#anchors.length - 1];
    if (last && last.running === running) {
      const deviation = running ? atMs - (last.atMs + (time - last.time) * 1000) : (time - last.time) * 1000;
      if (Math.abs(deviation) < UNREST_MS) {
        if (running) last.atMs += deviation * UNREST_SHARE;
        last.until = until;
        return;
      }
    }
    // Before it ever ran nothing was heard.
    if (!last && !running) return;
    this.#anchors.push({ atMs: Math.max(atMs, last?.atMs ?? atMs), time, running, until });
    while (this.#anchors.length > 2 && this.#anchors[1]!.atMs < this.#now() - KEPT_MS) this.#anchors.shift();
  }

  get now(): number | undefined {
    const now = this.#now();
    let index = this.#anchors.length - 1;
    while (index >= 0 && this.#anchors[index]!.atMs > now) index--;
    const anchor = this.#anchors[index];
    if (anchor) this.#told = Math.max(this.#told ?? anchor.time, this.#at(anchor, now));
    return this.#told;
  }

  heardAt(time: number): number | undefined {
    for (let index = this.#anchors.length - 1; index >= 0; index--) {
      const anchor = this.#anchors[index]!;
      const next = this.#anchors[index + 1];
      if (anchor.time > time) continue;
      if (!anchor.running && time > anchor.time) return undefined;
      const end = next ? this.#at(anchor, next.atMs) : anchor.until;
      if (time <= end) return anchor.atMs + (time - anchor.time) * 1000;
      // Beyond what was heard of this stretch: it was left out, or is not here yet.
      return next && next.time - end < TRIMMED_SECONDS ? next.atMs : undefined;
    }
    return undefined;
  }

  /** Seconds on the reply's clock that an anchor gives for a moment. */
  #at(anchor: Anchor, atMs: number): number {
    return anchor.running ? Math.min(anchor.until, anchor.time + (atMs - anchor.atMs) / 1000) : anchor.time;
  }
}

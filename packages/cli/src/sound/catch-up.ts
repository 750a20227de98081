import { SAMPLE_RATE } from '@moshi/protocol';
import { rms } from '@moshi/protocol/audio';

/** -45 dBFS: nobody misses what is softer. */
const QUIET_RMS = 10 ** (-45 / 20);
/** What is said ends before this, and a player that fills a buffer first has filled it. */
const PAUSE_SAMPLES = SAMPLE_RATE * 0.3;
/** What a player may hold that does not tell: more than this no pipe does. */
const MOST_SAMPLES = SAMPLE_RATE * 2;
/** A player that was given nothing has run dry, and says so when there is sound again. */
const OWN_DOING_MS = 1000;

/**
 * What a player holds too much of, because it began late or stood still, would keep all that follows late. No program tells what
 * lies in a pipe; so the pauses are not written until it must be gone.
 */
export class CatchUp {
  /** A player that starts may read when it likes. */
  #owed = MOST_SAMPLES;
  #quiet = PAUSE_SAMPLES;
  #leftOutAt = Number.NEGATIVE_INFINITY;

  /** The player has been silent for want of sound. */
  ranDry(): void {
    if (performance.now() - this.#leftOutAt > OWN_DOING_MS) this.#owed = MOST_SAMPLES;
  }

  /** The player holds so many milliseconds more than it should. */
  owe(ms: number): void {
    this.#owed = Math.max(0, Math.min(MOST_SAMPLES, (ms / 1000) * SAMPLE_RATE));
  }

  /** Whether these samples, which come next, are not to be written. */
  leavesOut(pcm: Float32Array): boolean {
    this.#quiet = rms(pcm) < QUIET_RMS ? this.#quiet + pcm.length : 0;
    if (this.#owed <= 0 || this.#quiet < PAUSE_SAMPLES) return false;
    this.#owed -= pcm.length;
    this.#leftOutAt = performance.now();
    return true;
  }
}

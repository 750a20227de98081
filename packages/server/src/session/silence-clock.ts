import { FRAME_MS } from '@moshi/protocol';

/** How long a client may be silent, in ms, before its side is taken to be silence. */
const patienceMs = 300;
/** A word's sound comes after its text: how long, in ms, the clock goes on when nothing is left to be spoken. */
const tailMs = 1600;

/**
 * Beats once a frame while somebody has to be heard whose peer sends nothing: a text given to a client without a microphone
 * is spoken all the same.
 */
export class SilenceClock {
  readonly #wanted: () => boolean;
  readonly #beat: () => void;
  #timer: NodeJS.Timeout | undefined;
  #lastAudio = Number.NEGATIVE_INFINITY;
  #lastWanted = Number.NEGATIVE_INFINITY;
  #due = 0;

  /** `wanted()` tells whether something is to be spoken; `beat()` steps one frame of silence. */
  constructor(wanted: () => boolean, beat: () => void) {
    this.#wanted = wanted;
    this.#beat = beat;
  }

  /** The peer sent audio of its own. */
  heard(): void {
    this.#lastAudio = performance.now();
  }

  /** Something is to be spoken: beats as long as the peer is silent. */
  start(): void {
    this.#lastWanted = performance.now();
    if (this.#timer !== undefined) return;
    this.#due = this.#lastWanted;
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(): void {
    this.#due += FRAME_MS;
    const now = performance.now();
    // After a stall the beats it cost are not made up for: nobody heard them.
    if (now > this.#due + 10 * FRAME_MS) this.#due = now;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, this.#due - now));
  }

  #tick(): void {
    const now = performance.now();
    if (this.#wanted()) this.#lastWanted = now;
    if (now - this.#lastWanted > tailMs) {
      this.stop();
      return;
    }
    if (now - this.#lastAudio > patienceMs) this.#beat();
    if (this.#timer !== undefined) this.#schedule();
  }
}

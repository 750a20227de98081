import { FRAME_SAMPLES } from '@moshi/protocol';
import { startTimer, type Timer } from './timer';

/** Servers answer every frame, at first after a delay of up to two: four frames without a word are odd. */
const ODD_SAMPLES = 4 * FRAME_SAMPLES;

/**
 * Calls `onSilent` when audio was sent and no message of any kind came back for `timeoutMs`. A session that sends
 * nothing is never suspected, because no server speaks before it is spoken to.
 */
export class SilenceWatch {
  readonly #timeoutMs: number;
  readonly #onSilent: () => void;
  #samples = 0;
  #suspended = false;
  #timer: Timer | undefined;

  /** `timeoutMs` of 0 or more than a timer can hold turns the watch off. */
  constructor(timeoutMs: number, onSilent: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onSilent = onSilent;
  }

  audioSent(samples: number): void {
    this.#samples += samples;
    if (this.#timer !== undefined || this.#suspended || this.#samples < ODD_SAMPLES) return;
    this.#timer = startTimer(this.#onSilent, this.#timeoutMs);
  }

  /** The server gave a sign of life. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#samples = 0;
  }

  /** While suspended, silence is what was asked for (a paused conversation, the end of a session). */
  suspend(suspended: boolean): void {
    this.#suspended = suspended;
    this.reset();
  }
}

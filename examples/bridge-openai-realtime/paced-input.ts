import type { Session } from '@moshi/client';

/** Samples of one frame of the model: 80 ms at 24 kHz. */
const FRAME = 1920;
const FRAME_MS = 80;

/**
 * The client's audio on its way to Moshi, which hears in real time however fast it is sent: every 80 ms one frame of it, or of
 * silence, because a model that hears nothing at all stands still.
 */
export class PacedInput {
  readonly #onFrame: (frame: Float32Array) => void;
  #queue: Float32Array[] = [];
  #then: (() => void)[] = [];
  #clock: NodeJS.Timeout | undefined;

  /** `onFrame` gets each frame as Moshi hears it. */
  constructor(onFrame: (frame: Float32Array) => void) {
    this.#onFrame = onFrame;
  }

  push(pcm: Float32Array): void {
    this.#queue.push(pcm);
  }

  clear(): void {
    this.#queue = [];
  }

  /** Calls back once everything pushed so far has been heard. */
  whenHeard(then: () => void): void {
    if (this.#queue.length === 0) then();
    else this.#then.push(then);
  }

  /** Begins to send to a conversation. */
  start(moshi: Session): void {
    let due = performance.now();
    this.#clock = setInterval(() => {
      for (const now = performance.now(); due <= now; due += FRAME_MS) this.#tick(moshi);
    }, 20);
  }

  stop(): void {
    clearInterval(this.#clock);
  }

  #tick(moshi: Session): void {
    const frame = new Float32Array(FRAME);
    let filled = 0;
    while (filled < FRAME && this.#queue.length > 0) {
      const head = this.#queue[0]!;
      const part = head.subarray(0, FRAME - filled);
      frame.set(part, filled);
      filled += part.length;
      if (part.length < head.length) this.#queue[0] = head.subarray(part.length);
      else this.#queue.shift();
    }
    moshi.sendAudio(frame);
    this.#onFrame(frame);
    if (this.#queue.length === 0) for (const then of this.#then.splice(0)) then();
  }
}

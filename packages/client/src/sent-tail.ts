import { PcmQueue } from './pcm-queue';

/** The last sound that was sent, by sample number: what the server has not heard of it can be sent once more. */
export class SentTail {
  readonly #samples = new PcmQueue();
  readonly #limit: number;
  #end = 0;

  /** `limit`: samples to keep. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Number of the next sample: how many the conversation was sent. */
  get end(): number {
    return this.#end;
  }

  /** So many samples were sent that are not kept. */
  skip(samples: number): void {
    this.#end += samples;
  }

  push(pcm: Float32Array): void {
    this.#end += pcm.length;
    if (this.#limit === 0) return;
    this.#samples.push(pcm);
    const excess = this.#samples.length - this.#limit;
    if (excess > 0) this.#samples.drop(excess);
  }

  /** Goes back to sample `from`: what was sent since then, and how many samples of that are no longer here. */
  rewind(from: number): { pcm: Float32Array; missing: number } {
    const unheard = Math.max(0, this.#end - from);
    const kept = Math.min(unheard, this.#samples.length);
    this.#samples.drop(this.#samples.length - kept);
    const pcm = this.#samples.take(kept);
    this.#end = from;
    return { pcm, missing: unheard - kept };
  }

  /** A conversation begins. */
  clear(): void {
    this.#samples.clear();
    this.#end = 0;
  }
}

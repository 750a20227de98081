import { FRAME_SAMPLES } from '@moshi/protocol';

/** Cuts PCM chunks of any length into frames of 1920 samples. Keeps the chunks it is given: the caller must not reuse them. */
export class FrameCutter {
  #chunks: Float32Array[] = [];
  #offset = 0;
  #samples = 0;

  /** Whole frames waiting. */
  get frames(): number {
    return Math.floor(this.#samples / FRAME_SAMPLES);
  }

  push(pcm: Float32Array): void {
    if (pcm.length === 0) return;
    this.#chunks.push(pcm);
    this.#samples += pcm.length;
  }

  /** The next 1920 samples as a copy, or undefined when fewer are waiting. */
  next(): Float32Array | undefined {
    if (this.#samples < FRAME_SAMPLES) return undefined;
    const frame = new Float32Array(FRAME_SAMPLES);
    let filled = 0;
    let used = 0;
    while (filled < FRAME_SAMPLES) {
      const chunk = this.#chunks[used]!;
      const take = Math.min(chunk.length - this.#offset, FRAME_SAMPLES - filled);
      frame.set(chunk.subarray(this.#offset, this.#offset + take), filled);
      filled += take;
      this.#offset += take;
      if (this.#offset === chunk.length) {
        used++;
        this.#offset = 0;
      }
    }
    this.#chunks.splice(0, used);
    this.#samples -= FRAME_SAMPLES;
    return frame;
  }

  clear(): void {
    this.#chunks = [];
    this.#offset = 0;
    this.#samples = 0;
  }
}

/** A first-in first-out queue of samples in which any number can be put, taken or dropped. */
export class PcmQueue {
  #chunks: Float32Array[] = [];
  #offset = 0;
  #length = 0;

  /** Samples waiting. */
  get length(): number {
    return this.#length;
  }

  /** Appends a copy, so the caller may reuse its buffer. */
  push(pcm: Float32Array): void {
    if (pcm.length === 0) return;
    this.#chunks.push(pcm.slice());
    this.#length += pcm.length;
  }

  /** Removes and returns the oldest `count` samples; `count` must not exceed `length`. */
  take(count: number): Float32Array {
    const out = new Float32Array(count);
    this.#advance(count, (part, at) => out.set(part, at));
    return out;
  }

  /** Removes the oldest `count` samples. */
  drop(count: number): void {
    this.#advance(count, () => {});
  }

  clear(): void {
    this.#chunks = [];
    this.#offset = 0;
    this.#length = 0;
  }

  #advance(count: number, visit: (part: Float32Array, at: number) => void): void {
    let at = 0;
    let used = 0;
    while (at < count) {
      const chunk = this.#chunks[used];
      if (chunk === undefined) throw new RangeError(`cannot take ${count} samples of ${this.#length}`);
      const size = Math.min(count - at, chunk.length - this.#offset);
      visit(chunk.subarray(this.#offset, this.#offset + size), at);
      at += size;
      this.#offset += size;
      if (this.#offset === chunk.length) {
        used++;
        this.#offset = 0;
      }
    }
    this.#chunks.splice(0, used);
    this.#length -= count;
  }
}

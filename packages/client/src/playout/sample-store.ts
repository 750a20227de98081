/** Where on the reply's clock a sample stands; holds until the next mark. */
interface Mark {
  /** Number of the sample, counted over all that were ever pushed. */
  readonly sample: number;
  readonly time: number;
}

/** Samples in order, each of which knows its time on the reply's clock. */
export class SampleStore {
  readonly #rate: number;
  #memory: Float32Array;
  #begin = 0;
  #end = 0;
  /** Number of the sample at `#begin`. */
  #sample = 0;
  #marks: Mark[] = [];

  constructor(sampleRate: number) {
    this.#rate = sampleRate;
    this.#memory = new Float32Array(Math.round(sampleRate / 2));
  }

  get length(): number {
    return this.#end - this.#begin;
  }

  /** Seconds of the first sample, or, when there is none, of the one that would follow the last; undefined before any. */
  get time(): number | undefined {
    const mark = this.#marks[0];
    return mark && mark.time + (this.#sample - mark.sample) / this.#rate;
  }

  /** Copies samples that begin at `time` seconds behind the others. */
  push(pcm: Float32Array, time: number): void {
    this.#makeRoom(pcm.length);
    this.#marks.push({ sample: this.#sample + this.length, time });
    this.#memory.set(pcm, this.#end);
    this.#end += pcm.length;
    this.#settle();
  }

  /** Up to `count` samples from the first one on; valid, and may be written to, until the next call. */
  peek(count: number): Float32Array {
    return this.#memory.subarray(this.#begin, Math.min(this.#end, this.#begin + count));
  }

  /** Moves samples to the beginning of `out`; returns how many. */
  take(out: Float32Array): number {
    const next = this.peek(out.length);
    out.set(next);
    this.skip(next.length);
    return next.length;
  }

  /** Forgets the first `count` samples. */
  skip(count: number): void {
    this.#begin += count;
    this.#sample += count;
    this.#settle();
  }

  /** Forgets the first `count` samples, and leads over `fade` samples from them to what follows. */
  cut(count: number, fade: number): void {
    const before = this.peek(count);
    const after = this.peek(count + fade).subarray(count);
    const length = Math.min(before.length, after.length);
    for (let i = 0; i < length; i++) {
      const weight = (i + 1) / (length + 1);
      after[i] = before[i]! * (1 - weight) + after[i]! * weight;
    }
    this.skip(count);
  }

  #makeRoom(count: number): void {
    if (this.#end + count <= this.#memory.length) return;
    const kept = this.#memory.subarray(this.#begin, this.#end);
    const target =
      kept.length + count <= this.#memory.length ? this.#memory : new Float32Array(2 * (kept.length + count));
    target.set(kept);
    this.#memory = target;
    this.#begin = 0;
    this.#end = kept.length;
  }

  /** Keeps no marks but those that a sample still stands under. */
  #settle(): void {
    let passed = 0;
    while (passed + 1 < this.#marks.length && this.#marks[passed + 1]!.sample <= this.#sample) passed++;
    if (passed > 0) this.#marks.splice(0, passed);
  }
}

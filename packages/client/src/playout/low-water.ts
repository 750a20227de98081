/** The least that waited during the last one to two windows. */
export class LowWater {
  readonly #window: number;
  #least = Number.POSITIVE_INFINITY;
  #before: number | undefined;
  #left: number;

  /** `window` and all else in samples. */
  constructor(window: number) {
    this.#window = this.#left = window;
  }

  /** Undefined until a whole window has passed. */
  get least(): number | undefined {
    return this.#before === undefined ? undefined : Math.min(this.#before, this.#least);
  }

  /** `level` wait while `passed` are played. */
  note(level: number, passed: number): void {
    this.#least = Math.min(this.#least, level);
    this.#left -= passed;
    if (this.#left > 0) return;
    this.#before = this.#least;
    this.#least = level;
    this.#left = this.#window;
  }

  /** `count` were left out, so that much less would have waited all the time. */
  lower(count: number): void {
    this.#least -= count;
    if (this.#before !== undefined) this.#before -= count;
  }

  clear(): void {
    this.#least = Number.POSITIVE_INFINITY;
    this.#before = undefined;
    this.#left = this.#window;
  }
}

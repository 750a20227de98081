/** An unbounded queue between callbacks and one `await`ing reader; the stream's window bounds what can be in it. */
export class EventPipe<T> {
  readonly #items: T[] = [];
  #ended = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  /** Items not read yet. */
  get size(): number {
    return this.#items.length;
  }

  push(item: T): void {
    if (!this.#ended) this.#items.push(item);
    this.#wake?.();
  }

  /** After the items before it, `next` gives undefined, or throws `error`. Only the first call counts. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async next(): Promise<T | undefined> {
    while (this.#items.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const item = this.#items.shift();
    if (item === undefined && this.#error !== undefined) throw this.#error;
    return item;
  }
}

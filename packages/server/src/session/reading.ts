/** Who may want that nothing more is read from a client. */
type Side = 'input' | 'output';

/** Reads from a client only while all sides agree: what it sends has to fit, and so has what it makes us answer. */
export class Reading {
  readonly #socket: { pause(): void; resume(): void };
  readonly #onResume: () => void;
  readonly #full = new Set<Side>();
  #ended = false;

  /** `onResume` after a time in which the client had no chance to be heard. */
  constructor(socket: { pause(): void; resume(): void }, onResume: () => void) {
    this.#socket = socket;
    this.#onResume = onResume;
  }

  /** Whether nothing is read. */
  get stopped(): boolean {
    return this.#full.size > 0;
  }

  /** One side has room for more, or has not. */
  room(side: Side, more: boolean): void {
    const { stopped } = this;
    if (more) this.#full.delete(side);
    else this.#full.add(side);
    if (this.#ended || stopped === this.stopped) return;
    if (this.stopped) {
      this.#socket.pause();
    } else {
      this.#socket.resume();
      this.#onResume();
    }
  }

  /** Reads from now on: the client's answer to the close frame can only be seen while reading. */
  end(): void {
    this.#ended = true;
    this.#full.clear();
    this.#socket.resume();
  }
}

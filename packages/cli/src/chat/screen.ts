/** Where a {@link Screen} draws. */
export interface Terminal {
  readonly columns?: number;
  write(text: string): unknown;
}

/** Lines at the bottom of a terminal that are drawn again and again, below others that stay. */
export class Screen {
  readonly #terminal: Terminal;
  #drawn: readonly string[] = [];
  readonly #giveBack = () => void this.#terminal.write('\r\x1b[?25h');

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.begin();
    // A program that breaks leaves a terminal to others.
    process.once('exit', this.#giveBack);
  }

  /** Cells of a line that may be used. */
  get columns(): number {
    return Math.max(20, (this.#terminal.columns ?? 80) - 1);
  }

  /** Puts `settled` above, for good, and draws `live` below. Lines are no longer than `columns`. */
  draw(live: readonly string[], settled: readonly string[] = []): void {
    if (settled.length === 0 && live.length === this.#drawn.length && live.every((line, i) => line === this.#drawn[i]))
      return;
    const up = this.#drawn.length > 1 ? `\x1b[${this.#drawn.length - 1}A` : '';
    const lines = [...settled, ...live].map((line) => `${line}\x1b[K`);
    this.#terminal.write(`\r${up}${lines.join('\r\n')}\x1b[J`);
    this.#drawn = live;
  }

  /** Begins where the cursor is. */
  begin(): void {
    this.#drawn = [];
    // The cursor would jump about.
    this.#terminal.write('\x1b[?25l');
  }

  /** Takes the lines that are drawn away and gives the cursor back; more may be drawn after `begin`. */
  pause(): void {
    this.draw(['']);
    this.#giveBack();
  }

  /** As `pause`, for good. */
  end(): void {
    process.off('exit', this.#giveBack);
    this.pause();
  }
}

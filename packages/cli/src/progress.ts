/** Where progress is drawn: a terminal, or anything else that takes text. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** A one-line progress bar that redraws itself on a terminal; elsewhere it writes nothing, so that logs stay clean. */
export class ProgressBar {
  readonly #stream: ProgressStream;
  #drawn = '';
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  /** Draws `label`, the bar for `done` of `total`, and `note`; at most ten times a second. */
  update(label: string, done: number, total: number | undefined, note = ''): void {
    if (!this.#stream.isTTY || (performance.now() - this.#drawnAt < 100 && done !== total)) return;
    const part = total ? Math.max(0, Math.min(1, done / total)) : 0;
    const filled = Math.round(part * 24);
    const bar = total
      ? ` ${'█'.repeat(filled)}${'░'.repeat(24 - filled)} ${String(Math.floor(part * 100)).padStart(3)}%`
      : '';
    this.#draw(`${label}${bar} ${note}`.trimEnd().slice(0, (this.#stream.columns ?? 80) - 1));
    this.#drawnAt = performance.now();
  }

  /** Takes the bar away; what is written next starts on a clean line. */
  clear(): void {
    if (this.#drawn !== '') this.#draw('');
  }

  #draw(line: string): void {
    this.#stream.write(`\r${line.padEnd(this.#drawn.length)}${line === '' ? '\r' : ''}`);
    this.#drawn = line;
  }
}

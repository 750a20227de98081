import { EventEmitter } from 'node:events';

/** A keyboard under the test's fingers. */
export class FakeKeyboard extends EventEmitter {
  readonly isTTY = true;
  raw = false;

  setRawMode(raw: boolean): void {
    this.raw = raw;
  }

  resume(): void {}

  pause(): void {}

  press(keys: string): void {
    this.emit('data', Buffer.from(keys));
  }
}

const ESC = '\x1b';
const PIECES = new RegExp(String.raw`${ESC}\[\??[0-9]*[A-Za-z]|[^${ESC}]`, 'gsu');

/** What a terminal shows: understands what `Screen` writes, and no more. */
export class FakeTerminal {
  readonly isTTY = true;
  columns = 80;
  /** All that was written. */
  raw = '';
  /** Lines with the marks of bold (`*`) and dim (`~`) around them. */
  readonly #lines: string[] = [''];
  #row = 0;
  #pending = '';
  #open = '';

  write(text: string): void {
    this.raw += text;
    for (const [piece] of text.matchAll(PIECES)) this.#take(piece);
  }

  get shown(): string {
    return this.#lines.join('\n').trimEnd();
  }

  #take(piece: string): void {
    const code = piece.startsWith(ESC) ? piece.slice(2) : undefined;
    if (code?.endsWith('A')) this.#row -= Number(code.slice(0, -1));
    else if (code === 'K') this.#lines[this.#row] = this.#pending;
    else if (code === 'J') this.#lines.length = this.#row + 1;
    else if (code === '1m' || code === '2m') this.#mark(code === '1m' ? '*' : '~');
    else if (code === '22m') this.#mark(undefined);
    else if (piece === '\n') this.#lines[++this.#row] ??= '';
    // Every line is written from its beginning.
    else if (piece === '\r') this.#pending = '';
    else if (code === undefined) this.#pending += piece;
  }

  #mark(mark: string | undefined): void {
    this.#pending += mark ?? this.#open;
    this.#open = mark ?? '';
  }
}

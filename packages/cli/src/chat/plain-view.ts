import { Captions } from './captions';
import { printable } from './printable';
import type { ChatView } from './view';

/** A line this long is written though its sentence goes on. */
const LONG_LINE = 100;

/** For programs and files: what was heard line by line on one stream, and everything else on another. */
export class PlainView implements ChatView {
  readonly #stdout: { write(text: string): unknown };
  readonly #stderr: { write(text: string): unknown };
  readonly #captions: Captions | undefined;
  #line = '';

  constructor(
    streams: { stdout: { write(text: string): unknown }; stderr: { write(text: string): unknown } },
    captions: boolean,
  ) {
    this.#stdout = streams.stdout;
    this.#stderr = streams.stderr;
    this.#captions = captions ? new Captions() : undefined;
  }

  text(text: string, time: number): void {
    this.#captions?.add(printable(text), time);
  }

  heard(time: number): void {
    for (const word of this.#captions?.hear(time) ?? []) {
      this.#line += `${this.#line === '' ? '' : ' '}${word}`;
      if (/[.!?…。！？]["'”’)]*$/u.test(word) || this.#line.length > LONG_LINE) this.#flush();
    }
  }

  cut(): void {
    this.#captions?.dropComing();
    this.#flush();
  }

  note(text: string): void {
    this.#stderr.write(`moshi: ${printable(text)}\n`);
  }

  figures(): void {}

  typing(): void {}

  pause(): void {}

  resume(): void {}

  end(): void {
    this.#flush();
  }

  #flush(): void {
    if (this.#line !== '') this.#stdout.write(`${this.#line}\n`);
    this.#line = '';
  }
}

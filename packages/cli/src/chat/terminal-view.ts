import { type Caption, Captions } from './captions';
import { fit, fitEnd, printable, width, wrap } from './printable';
import { Screen, type Terminal } from './screen';
import type { ChatView, Figures } from './view';

const METER_CELLS = 16;
/** Lines of what the model says that stay near the meters. */
const CAPTION_LINES = 4;
const MARGIN = '  ';
const KEYS = 'm mute · s say · space interrupt · q quit';
/** For windows too narrow for all of them: how to end is never cut off. */
const FEWER_KEYS = 'm mute · s say · q quit';

const bold = (text: string) => `\x1b[1m${text}\x1b[22m`;
const dim = (text: string) => `\x1b[2m${text}\x1b[22m`;

/** For people: captions that light up as they are heard, and below them both levels, figures and keys. */
export class TerminalView implements ChatView {
  readonly #screen: Screen;
  readonly #captions: Captions | undefined;
  readonly #title: string;
  #figures: Figures | undefined;
  #typing: string | undefined;
  #isPaused = false;
  /** Lines that go above for good with the next drawing. */
  #settled: string[] = [];

  /** `title` says with whom one talks. */
  constructor(terminal: Terminal, options: { readonly title: string; readonly captions: boolean }) {
    this.#screen = new Screen(terminal);
    this.#captions = options.captions ? new Captions() : undefined;
    this.#title = printable(options.title);
  }

  text(text: string, time: number): void {
    this.#captions?.add(printable(text), time);
  }

  heard(time: number): void {
    this.#captions?.hear(time);
    this.#draw();
  }

  cut(): void {
    this.#captions?.dropComing();
    this.#settleAll();
    this.#draw();
  }

  note(text: string): void {
    this.#settleAll();
    const lines = wrap(printable(text), this.#screen.columns - MARGIN.length);
    for (const [i, line] of lines.entries()) this.#settled.push(dim(`${i === 0 ? '· ' : MARGIN}${line}`));
    this.#draw();
  }

  figures(figures: Figures): void {
    this.#figures = figures;
    this.#draw();
  }

  typing(text: string | undefined): void {
    this.#typing = text;
    this.#draw();
  }

  pause(): void {
    this.#settleAll();
    this.#screen.draw([''], this.#settled.splice(0));
    this.#screen.pause();
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#screen.begin();
    this.#draw();
  }

  end(): void {
    this.#settleAll();
    this.#screen.draw([''], this.#settled);
    this.#screen.end();
  }

  #draw(): void {
    if (this.#isPaused) return;
    const lines = this.#wrapped();
    // Lines that were heard to their end, and have others below them, do not change any more.
    while (lines.length > 1 && lines[0]!.every(({ state }) => state === 'heard')) this.#settle(lines.shift()!);
    const shown = lines.slice(-CAPTION_LINES).map((words) => MARGIN + words.map(lit).join(' '));
    const live = [...(shown.length > 0 ? shown : ['']), '', ...this.#panel()];
    this.#screen.draw(live, this.#settled.splice(0));
  }

  #panel(): string[] {
    const columns = this.#screen.columns;
    const line = (text: string) => fit(text, columns);
    const last =
      this.#typing === undefined
        ? dim(line(`${MARGIN}${width(KEYS) + MARGIN.length <= columns ? KEYS : FEWER_KEYS}`))
        : `${MARGIN}${bold('say:')} ${fitEnd(printable(this.#typing), columns - 9)}▏`;
    if (!this.#figures) return [dim(line(`${MARGIN}${this.#title}`)), last];
    const { user, model, silence, seconds, answerMs, bufferedMs, missedMs, trouble } = this.#figures;
    const delay = answerMs === undefined ? '' : ` · answer ${(answerMs / 1000).toFixed(2)} s`;
    const missed = missedMs >= 50 ? ` · missed ${(missedMs / 1000).toFixed(1)} s` : '';
    const figures = `${minutes(seconds)}${delay} · buffer ${Math.round(bufferedMs)} ms${missed}`;
    return [
      line(`${MARGIN}model ${meter(model)}  ${figures}`),
      line(`${MARGIN}you   ${meter(user)}  ${silence}`.trimEnd()),
      trouble === undefined ? dim(line(`${MARGIN}${this.#title}`)) : bold(line(`${MARGIN}${printable(trouble)}`)),
      last,
    ];
  }

  /** The words that are shown, in lines that fit. */
  #wrapped(): Caption[][] {
    const room = this.#screen.columns - MARGIN.length;
    const lines: Caption[][] = [];
    let used = 0;
    for (const word of this.#captions?.shown ?? []) {
      const caption = { ...word, text: fit(word.text, room) };
      const cells = width(caption.text);
      if (lines.length === 0 || used + 1 + cells > room) {
        lines.push([]);
        used = -1;
      }
      lines.at(-1)!.push(caption);
      used += 1 + cells;
    }
    return lines;
  }

  #settle(words: readonly Caption[]): void {
    this.#settled.push(MARGIN + words.map(({ text }) => text).join(' '));
    this.#captions?.take(words.length);
  }

  /** What comes next begins a paragraph. */
  #settleAll(): void {
    for (const line of this.#wrapped()) this.#settle(line);
  }
}

function lit({ text, state }: Caption): string {
  return state === 'now' ? bold(text) : state === 'coming' ? dim(text) : text;
}

function meter(level: number): string {
  const filled = Math.round(Math.max(0, Math.min(1, level)) * METER_CELLS);
  return '█'.repeat(filled) + '░'.repeat(METER_CELLS - filled);
}

function minutes(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}

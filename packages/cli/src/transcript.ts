/** A piece of text as the server sent it. */
export interface Fragment {
  readonly text: string;
  /** Seconds from the start of the recording. */
  readonly time: number;
}

/** What became of one text the model was made to speak. */
export interface Said {
  /** The text asked for. */
  readonly asked: string;
  /** What was really spoken. */
  readonly spoken: string;
  /** False when it ended before its last word. */
  readonly completed: boolean;
}

/** One word of what the model said. */
export interface Word {
  readonly text: string;
  /** Seconds from the start of the recording at which its first piece came. */
  readonly start: number;
}

/** Puts fragments together into words, as they come: white space, wherever it stands, is what ends one. */
export class WordBuilder {
  /** What was said so far; the last word may still grow. */
  readonly words: Word[] = [];
  #open = false;

  push({ text, time }: Fragment): void {
    for (const piece of text.split(/(\s+)/)) {
      if (piece === '') continue;
      const last = this.words.at(-1);
      if (/^\s/.test(piece)) this.#open = false;
      else if (this.#open && last) this.words[this.words.length - 1] = { ...last, text: last.text + piece };
      else {
        this.words.push({ text: piece, start: time });
        this.#open = true;
      }
    }
  }

  /** Forgets all words but the first `count`; what comes next begins another one. */
  cut(count: number): void {
    this.words.length = Math.min(this.words.length, count);
    this.#open = false;
  }
}

/** The words of fragments. */
export function toWords(fragments: readonly Fragment[]): Word[] {
  const builder = new WordBuilder();
  for (const fragment of fragments) builder.push(fragment);
  return builder.words;
}

/** What was said, as one clean line. */
export function toText(fragments: readonly Fragment[]): string {
  return fragments
    .map(({ text }) => text)
    .join('')
    .replace(/\s+/g, ' ')
    .trim();
}

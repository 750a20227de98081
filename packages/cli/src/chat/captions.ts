import { WordBuilder } from '../transcript';

/** A word of the model: on its way, heard, or being heard now. */
export interface Caption {
  readonly text: string;
  readonly state: 'coming' | 'now' | 'heard';
}

/** What the model says, and how far the listener is. */
export class Captions {
  readonly #builder = new WordBuilder();
  /** Words that are settled and no longer shown. */
  #taken = 0;
  #heard = 0;

  /** A piece of text of the model; `time` is its place on the reply's clock. */
  add(text: string, time: number): void {
    this.#builder.push({ text, time });
  }

  /** All words up to this place of the reply's clock have been heard, the last of them now. Returns those it had not told of. */
  hear(time: number): string[] {
    const before = this.#heard;
    const { words } = this.#builder;
    while (this.#heard < words.length && words[this.#heard]!.start <= time) this.#heard++;
    return words.slice(before, this.#heard).map(({ text }) => text);
  }

  /** What is on its way will not be heard. */
  dropComing(): void {
    this.#builder.cut(this.#heard);
  }

  /** The words that are shown. */
  get shown(): Caption[] {
    return this.#builder.words.slice(this.#taken).map(({ text }, i) => {
      const at = this.#taken + i;
      return { text, state: at >= this.#heard ? 'coming' : at === this.#heard - 1 ? 'now' : 'heard' };
    });
  }

  /** So many words of those shown are settled. */
  take(count: number): void {
    this.#taken += count;
  }
}

import type { SayWordEvent, TextEvent } from '../events';
import type { HeardWord } from './types';

/** Pieces of one word come in frames that follow one another: after this no more belong to it. */
const OPEN_SECONDS = 0.15;
/** How far a word and its announcement may be apart, one being text of the model, the other the server's plan. */
const SAME_WORD_SECONDS = 2;
/** Some minutes of talk, which is more than a blocked loudspeaker keeps anybody waiting for. */
const MAX_WORDS = 1000;
const MAX_CHARS = 1000;

interface Word {
  text: string;
  readonly time: number;
  /** Of its last piece. */
  lastTime: number;
  complete: boolean;
}

/** Puts the pieces of event `text` together into words, and gives each when it is heard. */
export class Captions {
  readonly #heard: (word: HeardWord) => void;
  #words: Word[] = [];
  #open: Word | undefined;
  #announced: SayWordEvent[] = [];

  constructor(heard: (word: HeardWord) => void) {
    this.#heard = heard;
  }

  /** White space, wherever it stands, is what ends a word. */
  text({ text, time }: TextEvent): void {
    for (const piece of text.split(/(\s+)/)) {
      if (piece === '') continue;
      if (/^\s/.test(piece)) this.#close();
      else if (this.#open) {
        this.#open.text += piece;
        this.#open.lastTime = time;
        if (this.#open.text.length > MAX_CHARS) this.#close();
      } else {
        this.#open = { text: piece, time, lastTime: time, complete: false };
        pushBounded(this.#words, this.#open);
      }
    }
  }

  /** A word the model was made to say begins. */
  sayWord(event: SayWordEvent): void {
    pushBounded(this.#announced, event);
  }

  /** Gives what is heard by `now`, in seconds on the reply's clock, of which all up to `received` have come. */
  advance(now: number, received: number): void {
    if (this.#open && received > this.#open.lastTime + OPEN_SECONDS) this.#close();
    while (this.#words[0]?.complete && this.#words[0].time <= now) {
      const { text, time } = this.#words.shift()!;
      const sayId = this.#askedFor(text, time);
      this.#heard(sayId === undefined ? { text, time } : { text, time, sayId });
    }
  }

  /** What has not been heard will not be. */
  clear(): void {
    this.#words = [];
    this.#open = undefined;
    this.#announced = [];
  }

  #close(): void {
    if (this.#open) this.#open.complete = true;
    this.#open = undefined;
  }

  #askedFor(text: string, time: number): number | undefined {
    const index = this.#announced.findIndex(
      (event) => plain(event.word) === plain(text) && Math.abs(event.time - time) < SAME_WORD_SECONDS,
    );
    const id = this.#announced[index]?.id;
    this.#announced = this.#announced.slice(index + 1).filter((event) => event.time > time - SAME_WORD_SECONDS);
    return id;
  }
}

/** The oldest goes first: a server may say more than is ever heard. */
function pushBounded<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > MAX_WORDS) list.shift();
}

/** Text of the model has other blanks and capitals than what it was given. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
}

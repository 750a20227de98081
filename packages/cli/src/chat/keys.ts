import { StringDecoder } from 'node:string_decoder';
import { withoutLast } from './printable';

/** The keyboard of a terminal: `process.stdin`, or what stands for it. */
export interface Keyboard {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  on(event: 'data', listener: (data: Uint8Array) => void): unknown;
  off(event: 'data', listener: (data: Uint8Array) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

/** What keys do. */
export interface KeyActions {
  mute(): void;
  interrupt(): void;
  quit(): void;
  /** Back to the shell, until it lets this program go on. */
  suspend(): void;
  /** A text to be spoken was typed. */
  say(text: string): void;
  /** What is typed changes; undefined when nobody types. */
  typing(text: string | undefined): void;
}

const [CTRL_C, CTRL_D, CTRL_U, CTRL_Z, ESCAPE] = ['\x03', '\x04', '\x15', '\x1a', '\x1b'];
/** Arrow keys and their like: one key, several characters. */
const SEQUENCE = new RegExp(String.raw`${ESCAPE}(?:\[[0-9;?]*[ -/]*[@-~]|O.)`, 'g');
const MOST_CHARACTERS = 2000;

/** Reads single keys, and a line of text after `s`. */
export class Keys {
  readonly #keyboard: Keyboard;
  readonly #actions: KeyActions;
  readonly #decoder = new StringDecoder('utf8');
  readonly #listener = (data: Uint8Array) => this.#read(this.#decoder.write(Buffer.from(data)));
  #line: string | undefined;

  constructor(keyboard: Keyboard, actions: KeyActions) {
    this.#keyboard = keyboard;
    this.#actions = actions;
    keyboard.on('data', this.#listener);
    this.begin();
  }

  /** Takes the keyboard, also where the shell had it in between. */
  begin(): void {
    this.#keyboard.setRawMode?.(true);
    this.#keyboard.resume();
  }

  /** Leaves the keyboard to the shell. */
  pause(): void {
    this.#keyboard.setRawMode?.(false);
    this.#keyboard.pause();
  }

  /** Gives the keyboard back as it was. */
  end(): void {
    this.#keyboard.off('data', this.#listener);
    this.pause();
  }

  #read(text: string): void {
    for (const key of text.replace(SEQUENCE, '')) {
      if (key === CTRL_C || (key === CTRL_D && this.#line === undefined)) this.#actions.quit();
      else if (key === CTRL_Z) this.#actions.suspend();
      else if (this.#line === undefined) this.#command(key);
      else this.#edit(this.#line, key);
    }
  }

  #command(key: string): void {
    if (key === 'm') this.#actions.mute();
    else if (key === ' ') this.#actions.interrupt();
    else if (key === 'q') this.#actions.quit();
    else if (key === 's') this.#type('');
  }

  #edit(line: string, key: string): void {
    if (key === '\r' || key === '\n') {
      this.#type(undefined);
      if (line.trim() !== '') this.#actions.say(line.trim());
    } else if (key === ESCAPE) this.#type(undefined);
    else if (key === '\x7f' || key === '\b') this.#type(withoutLast(line));
    else if (key === CTRL_U) this.#type('');
    else if (!/\p{Cc}/u.test(key) && line.length < MOST_CHARACTERS) this.#type(line + key);
  }

  #type(line: string | undefined): void {
    this.#line = line;
    this.#actions.typing(line);
  }
}

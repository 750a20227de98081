import type { ClientMessage } from '@moshi/protocol';

/** How many are kept: what a connection may swallow before its loss is noticed. */
const KEPT = 64;

/** The last messages of a conversation that were not audio: those a lost connection swallowed are sent once more. */
export class SentMessages {
  #messages: ClientMessage[] = [];
  #count = 0;

  push(message: ClientMessage): void {
    this.#count++;
    this.#messages.push(message);
    if (this.#messages.length > KEPT) this.#messages.shift();
  }

  /** Those that a server did not get that has `taken` so many. */
  after(taken: number): ClientMessage[] {
    const missing = Math.max(0, this.#count - taken);
    return missing === 0 ? [] : this.#messages.slice(-missing);
  }

  /** A conversation begins. */
  clear(): void {
    this.#messages = [];
    this.#count = 0;
  }
}

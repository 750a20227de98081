/** The last messages of a conversation, by number: what a client missed while its connection was lost can be sent again. */
export class Replay {
  readonly #limitBytes: number;
  #messages: Uint8Array[] = [];
  #bytes = 0;
  #count = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Messages of the conversation so far; the last one has this number. */
  get count(): number {
    return this.#count;
  }

  push(message: Uint8Array): void {
    this.#count++;
    this.#messages.push(message);
    this.#bytes += message.length;
    while (this.#bytes > this.#limitBytes) this.#bytes -= this.#messages.shift()!.length;
  }

  /** All messages after the first `received`; undefined when some are no longer here, or were never sent. */
  after(received: number): readonly Uint8Array[] | undefined {
    const missed = this.#count - received;
    if (missed < 0 || missed > this.#messages.length) return undefined;
    return this.#messages.slice(this.#messages.length - missed);
  }
}

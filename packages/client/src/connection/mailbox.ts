/** Holds deliveries back, in order, until it is opened; from then on each one happens at once. */
export class Mailbox {
  #held: (() => void)[] | undefined = [];

  deliver(task: () => void): void {
    if (this.#held) this.#held.push(task);
    else task();
  }

  /** Delivers what is held. When a task throws, the others still follow and nothing overtakes them. */
  open(): void {
    const held = this.#held ?? [];
    try {
      for (let task = held.shift(); task !== undefined; task = held.shift()) task();
    } finally {
      if (held.length > 0) setTimeout(() => this.open(), 0);
      else this.#held = undefined;
    }
  }
}

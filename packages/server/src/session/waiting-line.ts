/** What {@link WaitingLine} needs from a client. */
export interface LineClient {
  /** A slot is yours: hand it back with `release`. */
  admit(): void;
  /** Your place in the line, 1 = next; called on every change. */
  moved(position: number): void;
}

interface Place {
  client: LineClient;
  ticket: number;
}

/** Hands out the engine's slots first come, first served, with a bounded line. */
export class WaitingLine {
  readonly slots: number;
  readonly #maxWaiting: number;
  readonly #retryMs: number;
  readonly #tickets = new WeakMap<LineClient, number>();
  #lastTicket = 0;
  #waiting: Place[] = [];
  #held = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(slots: number, maxWaiting: number, retryMs = 500) {
    this.slots = slots;
    this.#maxWaiting = maxWaiting;
    this.#retryMs = retryMs;
  }

  /** Slots held now. */
  get held(): number {
    return this.#held;
  }

  /** Clients in the line. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether a newcomer would get a slot or a place in the line. */
  get open(): boolean {
    return this.#slotFree() || this.#waiting.length < this.#maxWaiting;
  }

  /** Takes a newcomer: `admit` is called now or later, `moved` while it waits. False when slots and line are full. */
  enter(client: LineClient): boolean {
    if (!this.open) return false;
    const ticket = ++this.#lastTicket;
    this.#tickets.set(client, ticket);
    if (this.#slotFree()) {
      this.#held++;
      client.admit();
    } else {
      this.#waiting.push({ client, ticket });
      client.moved(this.#waiting.length);
    }
    return true;
  }

  /** A client that was not admitted goes away; those behind it move up. */
  leave(client: LineClient): void {
    const index = this.#waiting.findIndex((place) => place.client === client);
    if (index < 0) return;
    this.#waiting.splice(index, 1);
    this.#announce(index);
  }

  /** An admitted client hands its slot back; the next one gets it. */
  release(): void {
    this.#held--;
    this.#admitNext();
  }

  /** An admitted client found the engine full (others use it too): it takes its old place again and the engine is asked again soon. */
  comeBack(client: LineClient): void {
    this.#held--;
    const ticket = this.#tickets.get(client) ?? 0;
    const later = this.#waiting.findIndex((place) => place.ticket > ticket);
    const index = later < 0 ? this.#waiting.length : later;
    this.#waiting.splice(index, 0, { client, ticket });
    this.#announce(index);
    this.#retrySoon();
  }

  /** Forgets everybody who waits and stops asking the engine. */
  clear(): void {
    this.#waiting = [];
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  #slotFree(): boolean {
    return this.#held < this.slots && this.#waiting.length === 0;
  }

  #admitNext(): void {
    if (this.#held >= this.slots) return;
    const next = this.#waiting.shift();
    if (!next) return;
    this.#held++;
    next.client.admit();
    this.#announce(0);
  }

  /** One at a time: an engine that is full for the first is full for all. */
  #retrySoon(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#admitNext();
      if (this.#waiting.length > 0 && this.#held < this.slots) this.#retrySoon();
    }, this.#retryMs);
  }

  #announce(from: number): void {
    // Reads the line anew at every turn: a client told of its place may leave on the spot.
    for (let index = from; index < this.#waiting.length; index++) this.#waiting[index]!.client.moved(index + 1);
  }
}

import type { Socket } from 'node:net';

/** What is wrong with the network at this moment, in both directions. */
export interface Faults {
  latencyMs: number;
  jitterMs: number;
  /** So much later come pieces that take a detour. */
  detourMs: number;
  /** How many of them do: 0 to 1. */
  detourShare: number;
  /** 0: no limit. */
  bytesPerSecond: number;
  /** 0: no limit. */
  splitBytes: number;
  /** Nothing passes. */
  hole: boolean;
}

/** More than this under way, and the sender has to wait, as in a network with a full queue. */
const MAX_QUEUED_BYTES = 256 * 1024;

interface Parcel {
  /** Undefined: the sender ended. */
  readonly bytes: Buffer | undefined;
  readonly due: number;
}

/** One direction of one connection: takes bytes from a socket and delivers them to another as late as the faults say. */
export class ChaosPipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #faults: Faults;
  readonly #delivered: () => void;
  readonly #queue: Parcel[] = [];
  #queuedBytes = 0;
  #blockedUntil = 0;
  #held = false;
  #timer: NodeJS.Timeout | undefined;
  #random = 1;

  constructor(from: Socket, to: Socket, faults: Faults, delivered: () => void = () => undefined) {
    this.#from = from;
    this.#to = to;
    this.#faults = faults;
    this.#delivered = delivered;
    from.on('data', (bytes) => this.#take(bytes as Buffer));
    from.on('end', () => this.#take(undefined));
  }

  /** Delivers nothing for so long. */
  stall(ms: number): void {
    this.#blockedUntil = Math.max(this.#blockedUntil, performance.now() + ms);
    this.pump();
  }

  /** Delivers nothing until it is let go. */
  hold(on: boolean): void {
    this.#held = on;
    this.pump();
  }

  /** Loses what is under way. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
    this.#queuedBytes = 0;
  }

  #take(bytes: Buffer | undefined): void {
    const { latencyMs, jitterMs, detourMs, detourShare } = this.#faults;
    const detour = detourMs > 0 && this.#chance() < detourShare ? detourMs : 0;
    const due = performance.now() + latencyMs + this.#chance() * jitterMs + detour;
    // What was sent later may be due earlier: as with TCP, it is not handed out before its turn.
    this.#queue.push({ bytes, due });
    this.#queuedBytes += bytes?.length ?? 0;
    if (this.#queuedBytes > MAX_QUEUED_BYTES) this.#from.pause();
    this.pump();
  }

  /** Delivers what is due, and comes back for the rest. */
  pump(): void {
    clearTimeout(this.#timer);
    for (;;) {
      const parcel = this.#queue[0];
      if (!parcel || this.#held || this.#faults.hole) return;
      const wait = Math.max(parcel.due, this.#blockedUntil) - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), wait);
        return;
      }
      if (parcel.bytes === undefined) {
        this.#queue.shift();
        this.#to.end();
      } else {
        this.#deliver(parcel.bytes, parcel.due);
      }
    }
  }

  #deliver(bytes: Buffer, due: number): void {
    const { bytesPerSecond, splitBytes } = this.#faults;
    // A slow line passes a little at a time: what takes 20 ms.
    const most = Math.min(splitBytes || bytes.length, bytesPerSecond ? Math.ceil(bytesPerSecond / 50) : bytes.length);
    const piece = bytes.subarray(0, most);
    if (piece.length === bytes.length) this.#queue.shift();
    else this.#queue[0] = { bytes: bytes.subarray(most), due };
    this.#queuedBytes -= piece.length;
    const now = performance.now();
    if (bytesPerSecond) this.#blockedUntil = Math.max(this.#blockedUntil, now) + (piece.length * 1000) / bytesPerSecond;
    // A millisecond apart, so that the other side reads them as two.
    else if (splitBytes) this.#blockedUntil = now + 1;
    if (this.#to.writable) this.#to.write(piece);
    if (this.#queuedBytes <= MAX_QUEUED_BYTES / 2) this.#from.resume();
    this.#delivered();
  }

  /** 0 to 1; the same numbers in each run. */
  #chance(): number {
    this.#random = (this.#random * 16807) % 2147483647;
    return this.#random / 2147483647;
  }
}

import type { PeerLink } from './types';

/** One connection's two directions, which can be held up together: nothing is lost or overtaken meanwhile. */
export class Line {
  /** Resolves with the close code when either side, or the network, has ended it. */
  readonly ended: Promise<number>;
  readonly #link: PeerLink;
  readonly #toServer: (Uint8Array | string)[] = [];
  readonly #toClient: (() => void)[] = [];
  #receive: ((data: Uint8Array | string) => void) | undefined;
  /** How often it was held up without being released. */
  #holds = 0;
  #open = true;
  #end: (code: number) => void = () => {};

  constructor(link: PeerLink) {
    this.#link = link;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Whether messages still go through, now or later. */
  get open(): boolean {
    return this.#open;
  }

  /** Bytes on their way to the server. */
  get held(): number {
    return this.#toServer.reduce((sum, data) => sum + data.length, 0);
  }

  /** Who takes the client's messages; those that came before wait for it. */
  deliverTo(receive: (data: Uint8Array | string) => void): void {
    this.#receive = receive;
    this.#flush();
  }

  /** A message of the client. */
  take(data: Uint8Array | string): void {
    if (!this.#open) return;
    this.#toServer.push(data);
    this.#flush();
  }

  /** A message of the server. */
  send(data: Uint8Array | string): void {
    this.#toClient.push(() => this.#link.send(data));
    this.#flush();
  }

  /** The server says goodbye, after what it sent. */
  close(code: number, reason: string): void {
    this.#toClient.push(() => {
      this.closed(code);
      this.#link.close(code, reason);
    });
    this.#flush();
  }

  /** Nothing more gets through. */
  drop(): void {
    if (!this.#open) return;
    this.closed(1006);
    this.#link.terminate();
  }

  hold(): void {
    this.#holds++;
  }

  release(): void {
    this.#holds--;
    this.#flush();
  }

  /** The connection has ended. */
  closed(code: number): void {
    this.#open = false;
    this.#end(code);
  }

  #flush(): void {
    while (this.#open && this.#holds === 0 && this.#toClient.length > 0) this.#toClient.shift()!();
    while (this.#open && this.#holds === 0 && this.#receive && this.#toServer.length > 0) {
      this.#receive(this.#toServer.shift()!);
    }
  }
}

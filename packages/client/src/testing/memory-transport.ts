import type { Transport, TransportClose, TransportHandlers } from '../transport';
import type { PeerConnection, ScriptedServer } from './types';

/** A connection to a scripted server without a network. Everything arrives in order and a moment later, as over one. */
export class MemoryTransport implements Transport {
  readonly #server: Pick<ScriptedServer, 'accept'>;
  #handlers: TransportHandlers | undefined;
  #connection: PeerConnection | undefined;
  /** Bytes handed to `send` in this turn. */
  #sending = 0;
  #ended = false;

  constructor(server: Pick<ScriptedServer, 'accept'>) {
    this.#server = server;
  }

  get bufferedAmount(): number {
    return this.#sending + (this.#connection?.held ?? 0);
  }

  open(url: string, handlers: TransportHandlers): void {
    this.#handlers = handlers;
    queueMicrotask(() => {
      if (this.#ended) return;
      this.#connection = this.#server.accept(url, {
        // A copy each way: over a network nobody shares memory.
        send: (data) => queueMicrotask(() => this.#handlers?.message(copy(data))),
        close: (code, reason) => this.#end({ code, reason, clean: true }),
        terminate: () => this.#end({ code: 1006, reason: '', clean: false }, true),
      });
      handlers.open();
    });
  }

  send(bytes: Uint8Array): void {
    const data = copy(bytes);
    this.#sending += data.length;
    queueMicrotask(() => {
      this.#sending -= data.length;
      this.#connection?.message(data);
    });
  }

  close(code: number, reason: string): void {
    this.#end({ code, reason, clean: true });
    queueMicrotask(() => this.#connection?.closed(code));
  }

  terminate(): void {
    this.#end({ code: 1006, reason: '', clean: false });
    queueMicrotask(() => this.#connection?.closed(1006));
  }

  /** `now`: nothing that is on its way arrives any more. */
  #end(close: TransportClose, now = false): void {
    const handlers = this.#handlers;
    if (now) this.#handlers = undefined;
    if (this.#ended) return;
    this.#ended = true;
    queueMicrotask(() => {
      this.#handlers = undefined;
      handlers?.close(close);
    });
  }
}

function copy<T extends Uint8Array | string>(data: T): T {
  return typeof data === 'string' ? data : (data.slice() as T);
}

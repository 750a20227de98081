import { onRefused, openWebSocket } from '#platform';
import type { NodeSocketOptions, WebSocketConstructor, WebSocketLike } from './platform/types';
import type { Transport, TransportClose, TransportHandlers } from './transport';

/** The {@link Transport} that everything uses unless told otherwise: one WebSocket, binary messages. */
export class WebSocketTransport implements Transport {
  readonly #constructorOption: WebSocketConstructor | undefined;
  readonly #socketOptions: NodeSocketOptions;
  #socket: WebSocketLike | undefined;
  #handlers: TransportHandlers | undefined;

  /** `webSocket` replaces the platform's class; `headers` and `insecure` work where {@link NodeSocketOptions} says. */
  constructor(options: NodeSocketOptions & { readonly webSocket?: WebSocketConstructor } = {}) {
    this.#constructorOption = options.webSocket;
    this.#socketOptions = { headers: options.headers, insecure: options.insecure };
  }

  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  open(url: string, handlers: TransportHandlers): void {
    this.#handlers = handlers;
    let failure: Error | undefined;
    try {
      const socket = openWebSocket(url, this.#constructorOption, this.#socketOptions);
      this.#socket = socket;
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => this.#handlers?.open();
      socket.onmessage = (event: { data: unknown }) => this.#handlers?.message(payload(event.data));
      socket.onerror = (event: { error?: Error }) => {
        failure = event.error;
      };
      socket.onclose = (event: { code: number; reason: string; wasClean: boolean }) =>
        this.#end({ code: event.code, reason: event.reason, clean: event.wasClean, error: failure });
      onRefused(socket, (refused) => {
        this.#end({ code: 1006, reason: '', clean: false, refused });
        terminate(socket);
      });
    } catch (error) {
      queueMicrotask(() => this.#end({ code: 1006, reason: '', clean: false, error: error as Error }));
    }
  }

  send(bytes: Uint8Array): void {
    this.#socket?.send(bytes as Uint8Array<ArrayBuffer>);
  }

  close(code: number, reason: string): void {
    this.#socket?.close(code, reason);
  }

  terminate(): void {
    if (this.#socket) terminate(this.#socket);
  }

  #end(close: TransportClose): void {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    handlers?.close(close);
  }
}

/** Drops a connection at once where the WebSocket can (`ws`), else starts a normal close. */
function terminate(socket: WebSocketLike): void {
  const drop = (socket as WebSocketLike & { terminate?: () => void }).terminate;
  if (typeof drop === 'function') drop.call(socket);
  else socket.close();
}

function payload(data: unknown): Uint8Array | string {
  if (typeof data === 'string') return data;
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  // A WebSocket that ignores binaryType: an empty message is reported as malformed instead of being lost unseen.
  return new Uint8Array(0);
}

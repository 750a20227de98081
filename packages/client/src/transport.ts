/** How a transport ended; sent exactly once, and nothing after it. */
export interface TransportClose {
  /** WebSocket close code; 1006 when the connection broke or never came up. */
  readonly code: number;
  readonly reason: string;
  /** True when both sides said goodbye. */
  readonly clean: boolean;
  /** The network's own error, where the platform tells. */
  readonly error?: Error;
  /** HTTP status and text of a refused upgrade, where the platform tells. */
  readonly refused?: { readonly status: number; readonly text: string };
}

/** What a {@link Transport} calls. */
export interface TransportHandlers {
  open(): void;
  /** One message of the server: bytes, or a string for a text frame. The bytes must not change afterwards. */
  message(data: Uint8Array | string): void;
  close(close: TransportClose): void;
}

/** What a session needs of a connection. One transport serves one connection. */
export interface Transport {
  /** Bytes handed to `send` that the network has not taken yet. */
  readonly bufferedAmount: number;
  /** Starts connecting to a `ws:` or `wss:` address; failures arrive through `handlers.close`, never as an exception. */
  open(url: string, handlers: TransportHandlers): void;
  /** Sends one binary message. Only called between `open` and `close`. */
  send(bytes: Uint8Array): void;
  /** Starts a normal close, in any state; `handlers.close` follows when the other side has agreed. */
  close(code: number, reason: string): void;
  /** Drops the connection at once, in any state. */
  terminate(): void;
}

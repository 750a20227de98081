/** What this package uses of a WebSocket object; the browser's, `ws`'s and undici's all fit. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

/** A WebSocket class; the third argument is only given for `headers` and `insecure`. */
export type WebSocketConstructor = new (url: string, protocols?: string[], options?: never) => WebSocketLike;

/** Connection options that only Node's WebSocket (`ws`) can follow; Cloudflare's workers can send headers too. */
export interface NodeSocketOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Accept any TLS certificate. */
  readonly insecure?: boolean;
}

/** An answer to the upgrade request that was not an upgrade. */
export interface RefusedUpgrade {
  readonly status: number;
  readonly text: string;
}

/** Options of a GET that {@link Platform.insecureFetch} makes. */
export interface FetchOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * What differs between runtimes. A build has one of `node`, `web` and `workerd` as `#platform`, chosen by the conditions in
 * package.json, so that none asks for what another has.
 */
export interface Platform {
  /** Opens a WebSocket, of the class that was injected or the platform's own. Throws {@link MoshiError} `unsupported`. */
  openWebSocket(url: string, injected?: WebSocketConstructor, options?: NodeSocketOptions): WebSocketLike;
  /** Calls back once with status and body when the server refuses the upgrade, where the WebSocket can tell. */
  onRefused(socket: WebSocketLike, listener: (refused: RefusedUpgrade) => void): void;
  /** As `fetch`, for a GET from a server with any TLS certificate. Rejects with {@link MoshiError} `unsupported`. */
  insecureFetch(url: URL, options: FetchOptions): Promise<Response>;
}

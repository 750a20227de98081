// The only file that knows about Node: which WebSocket to use, and what only Node's can do.
import IsomorphicWebSocket from 'isomorphic-ws';
import { MoshiError } from './errors';

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

/** Connection options that only Node's WebSocket (`ws`) can follow. */
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

/** No server of the family sends messages near this size; more is an attack on memory. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
const MAX_REFUSAL_CHARS = 1024;
const REFUSAL_TIMEOUT_MS = 1000;

const onNode = typeof process !== 'undefined' && typeof process.versions?.node === 'string';

/**
 * Opens a WebSocket. In Node that is `ws`, also where a global WebSocket exists: only `ws` tells why an upgrade was
 * refused, sends headers and accepts a self-signed certificate. Elsewhere it is the platform's own.
 */
export function openWebSocket(
  url: string,
  injected?: WebSocketConstructor,
  options: NodeSocketOptions = {},
): WebSocketLike {
  if (injected === undefined && onNode) {
    return new (IsomorphicWebSocket as unknown as new (...args: unknown[]) => WebSocketLike)(
      url,
      [],
      wsOptions(options),
    );
  }
  const Socket = injected ?? globalThis.WebSocket ?? (IsomorphicWebSocket as unknown as WebSocketConstructor | null);
  if (!Socket) throw new MoshiError('unsupported', 'no WebSocket here: pass one as the option webSocket');
  if (options.headers === undefined && !options.insecure) return new Socket(url);
  if (injected === undefined) {
    throw new MoshiError(
      'unsupported',
      'a browser cannot send headers or accept bad certificates: leave out headers and insecure',
    );
  }
  return new Socket(url, [], wsOptions(options) as never);
}

function wsOptions({ headers, insecure }: NodeSocketOptions): object {
  return {
    perMessageDeflate: false,
    maxPayload: MAX_PAYLOAD_BYTES,
    ...(headers && { headers }),
    ...(insecure && { rejectUnauthorized: false }),
  };
}

interface RefusalSource {
  on(event: 'unexpected-response', listener: (request: unknown, response: RefusalResponse) => void): void;
}

interface RefusalResponse {
  readonly statusCode?: number;
  setEncoding(encoding: string): void;
  on(event: string, listener: (chunk: string) => void): void;
}

/** Calls back once with status and body when the server refuses the upgrade, where the WebSocket can tell (`ws`). */
export function onRefused(socket: WebSocketLike, listener: (refused: RefusedUpgrade) => void): void {
  const source = socket as WebSocketLike & Partial<RefusalSource>;
  source.on?.('unexpected-response', (_request, response) => {
    let text = '';
    let done = false;
    const finish = () => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      listener({ status: response.statusCode ?? 0, text });
    };
    const timer = setTimeout(finish, REFUSAL_TIMEOUT_MS);
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      text = (text + chunk).slice(0, MAX_REFUSAL_CHARS);
      if (text.length === MAX_REFUSAL_CHARS) finish();
    });
    for (const event of ['end', 'close', 'error']) response.on(event, finish);
  });
}

/** Drops a connection at once where the WebSocket can (`ws`), else starts a normal close. */
export function terminate(socket: WebSocketLike): void {
  const drop = (socket as WebSocketLike & { terminate?: () => void }).terminate;
  if (typeof drop === 'function') drop.call(socket);
  else socket.close();
}

/**
 * As `fetch`, for a GET from a server with any TLS certificate. Node only (20.16 or later), because no browser can do that.
 * Rejects with {@link MoshiError} `unsupported` elsewhere.
 */
export async function insecureFetch(
  url: URL,
  { headers, signal }: { headers?: Readonly<Record<string, string>>; signal: AbortSignal },
): Promise<Response> {
  // Not imported: bundles for browsers must not ask for a module of Node's.
  const https = onNode ? process.getBuiltinModule?.('node:https') : undefined;
  if (!https)
    throw new MoshiError('unsupported', 'only Node 20.16 or later can ignore a certificate: leave out insecure');
  return new Promise((resolve, reject) => {
    const request = https.get(url, { headers, signal, rejectUnauthorized: false }, (answer) => {
      const status = answer.statusCode ?? 0;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          answer.on('data', (chunk: Uint8Array) => controller.enqueue(new Uint8Array(chunk)));
          answer.on('end', () => controller.close());
          answer.on('error', (error) => controller.error(error));
        },
      });
      try {
        // These have no body, and Response insists on it.
        const bare = status === 204 || status === 205 || status === 304;
        resolve(
          new Response(bare ? null : body, {
            status,
            headers: { 'content-type': answer.headers['content-type'] ?? '' },
          }),
        );
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
  });
}

// Cloudflare's workers: a WebSocket to elsewhere is made by `fetch`, as the global class there cannot send headers or tell of a refusal.
import { MoshiError } from '../errors';
import type { Platform, RefusedUpgrade, WebSocketLike } from './types';

export { insecureFetch } from './web';

export const openWebSocket: Platform['openWebSocket'] = (url, injected, { headers, insecure } = {}) => {
  if (insecure) throw new MoshiError('unsupported', 'a worker cannot accept bad certificates: leave out insecure');
  if (!injected) return new FetchedWebSocket(url, headers);
  return headers ? new injected(url, [], { headers } as never) : new injected(url);
};

export const onRefused: Platform['onRefused'] = (socket, listener) => {
  if (socket instanceof FetchedWebSocket) socket.onrefused = listener;
};

const MAX_REFUSAL_CHARS = 1024;

interface WorkerSocket {
  binaryType?: string;
  accept(): void;
  send(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: (event: never) => void): void;
}

/** What a browser's WebSocket looks like, on the socket that comes with the answer to a `fetch`. */
class FetchedWebSocket implements WebSocketLike {
  binaryType = 'arraybuffer';
  /** The runtime does not tell. */
  readonly bufferedAmount = 0;
  onopen: ((event: object) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null = null;
  onerror: ((event: { error: Error }) => void) | null = null;
  onrefused: ((refused: RefusedUpgrade) => void) | null = null;
  readonly #gone = new AbortController();
  #socket: WorkerSocket | undefined;

  constructor(url: string, headers: Readonly<Record<string, string>> = {}) {
    this.#open(url.replace(/^ws/, 'http'), headers).catch((error: Error) => this.#fail(error));
  }

  send(data: Uint8Array): void {
    this.#socket?.send(data);
  }

  close(code?: number, reason?: string): void {
    if (this.#socket) this.#socket.close(code, reason);
    else this.#gone.abort();
  }

  /** Not every error is followed by a close here, as it is in a browser. */
  #fail(error: Error): void {
    this.onerror?.({ error });
    this.onclose?.({ code: 1006, reason: '', wasClean: false });
  }

  async #open(url: string, headers: Readonly<Record<string, string>>): Promise<void> {
    const response = await fetch(url, { headers: { ...headers, upgrade: 'websocket' }, signal: this.#gone.signal });
    const { webSocket } = response as Response & { webSocket?: WorkerSocket | null };
    if (!webSocket) {
      this.onrefused?.({ status: response.status, text: await beginning(response) });
      return;
    }
    webSocket.addEventListener('message', (event: { data: unknown }) => this.onmessage?.(event));
    webSocket.addEventListener('close', (event: { code: number; reason: string; wasClean: boolean }) => {
      // In workers with an early compatibility date nobody else answers a goodbye, for which the server waits.
      webSocket.close();
      this.onclose?.(event);
    });
    webSocket.addEventListener('error', (event: { error: Error }) => this.#fail(event.error));
    webSocket.binaryType = this.binaryType;
    webSocket.accept();
    this.#socket = webSocket;
    this.onopen?.({});
  }
}

/** What a refusal says first: it may be long, or never end. */
async function beginning({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  const decoder = new TextDecoder();
  let text = '';
  while (reader && text.length < MAX_REFUSAL_CHARS) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  await reader?.cancel();
  return text.slice(0, MAX_REFUSAL_CHARS);
}

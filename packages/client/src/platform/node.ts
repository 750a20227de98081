// Node: `ws` in place of the global WebSocket, because only `ws` tells why an upgrade was refused, sends headers and accepts any
// certificate.
import { get } from 'node:https';
import IsomorphicWebSocket from 'isomorphic-ws';
import type { NodeSocketOptions, Platform, WebSocketLike } from './types';

/** No server of the family sends messages near this size; more is an attack on memory. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
const MAX_REFUSAL_CHARS = 1024;
const REFUSAL_TIMEOUT_MS = 1000;

export const openWebSocket: Platform['openWebSocket'] = (url, injected, options = {}) => {
  const { headers, insecure } = options;
  // Other classes may not take a third argument.
  if (injected && headers === undefined && !insecure) return new injected(url);
  const Socket = injected ?? (IsomorphicWebSocket as unknown as new (...args: unknown[]) => WebSocketLike);
  return new Socket(url, [], wsOptions(options) as never);
};

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

export const onRefused: Platform['onRefused'] = (socket, listener) => {
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
};

export const insecureFetch: Platform['insecureFetch'] = (url, { headers, signal }) => {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers, signal, rejectUnauthorized: false }, (answer) => {
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
};

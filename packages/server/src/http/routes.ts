import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EngineInfo } from '../engine';
import { version } from '../version';
import { plainPage } from './page';
import { send, sendJson, sendText } from './respond';
import type { StaticFiles } from './static-files';

/** Path of the conversation WebSocket. */
export const chatPath = '/api/chat';

/** How busy a server is, as `/readyz` tells it. */
export interface Readiness {
  /** Whether a newcomer gets a slot now or a place in the line. */
  ready: boolean;
  /** Conversations the engine can hold. */
  slots: number;
  /** Slots taken. */
  live: number;
  /** Clients in the line. */
  waiting: number;
}

/** The part of a request's target before the query, and the query. Never throws, whatever the client sent. */
export function splitTarget(target = '/'): { path: string; query: URLSearchParams } {
  // Proxies may send the absolute form, http://host/path.
  const local = target.replace(/^https?:\/\/[^/?#]*/i, '').replace(/#.*$/s, '');
  const mark = local.indexOf('?');
  const path = mark < 0 ? local : local.slice(0, mark);
  return { path: path || '/', query: new URLSearchParams(mark < 0 ? '' : local.slice(mark + 1)) };
}

/** Answers plain HTTP requests. */
export class Routes {
  readonly #info: EngineInfo;
  readonly #readiness: () => Readiness;
  readonly #files: StaticFiles | undefined;

  constructor(info: EngineInfo, readiness: () => Readiness, files?: StaticFiles) {
    this.#info = info;
    this.#readiness = readiness;
    this.#files = files;
  }

  /** Whether this path is one of the server's own. */
  owns(path: string): boolean {
    return path === chatPath || path === '/healthz' || path === '/readyz' || path === '/api/build_info';
  }

  /** Answers any request. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    const { path } = splitTarget(request.url);
    // A body nobody reads would keep the connection from being used again.
    request.resume();
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      sendText(response, 405, 'Only GET and HEAD work here.');
      return;
    }
    switch (path) {
      case chatPath:
        response.setHeader('upgrade', 'websocket');
        sendText(response, 426, 'This is a WebSocket: connect with ws:// or wss://.');
        return;
      case '/healthz':
        sendText(response, 200, 'ok');
        return;
      case '/readyz': {
        const readiness = this.#readiness();
        sendJson(response, readiness.ready ? 200 : 503, readiness);
        return;
      }
      case '/api/build_info':
        sendJson(response, 200, {
          server: 'moshi-js',
          version,
          node: process.version,
          model: this.#info.model,
        });
        return;
    }
    if (this.#files) {
      void this.#files.serve(request, response, path);
    } else if (path === '/') {
      send(response, 200, 'text/html; charset=utf-8', plainPage(this.#info));
    } else {
      sendText(response, 404, 'There is nothing here: the conversation is at /api/chat.');
    }
  }
}

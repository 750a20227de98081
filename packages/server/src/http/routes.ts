import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Access, foreignOrigin } from '../access';
import type { Engine } from '../engine';
import { errorMessage } from '../errors';
import { version } from '../version';
import { pageHeaders } from './csp';
import type { PageFiles } from './page-files';
import { plainPage, plainPagePolicy } from './plain-page';
import { send, sendJson, sendText } from './respond';
import type { StaticFiles } from './static-files';

/** Path of the conversation WebSocket. */
export const chatPath = '/api/chat';

const ownPaths = new Set([chatPath, '/healthz', '/readyz', '/api/build_info', '/api/voices']);

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

/** What is served beside the server's own routes; a folder of files takes the page's place. */
export interface Site {
  readonly files?: StaticFiles;
  readonly page?: PageFiles;
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
  readonly #engine: Pick<Engine, 'info' | 'voices'>;
  readonly #access: Access;
  readonly #readiness: () => Readiness;
  readonly #site: Site;

  constructor(engine: Pick<Engine, 'info' | 'voices'>, access: Access, readiness: () => Readiness, site: Site = {}) {
    this.#engine = engine;
    this.#access = access;
    this.#readiness = readiness;
    this.#site = site;
  }

  /** Whether this path is one of the server's own. */
  owns(path: string): boolean {
    return ownPaths.has(path) || this.#site.page?.owns(path) === true;
  }

  /** Answers any request. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    const { path, query } = splitTarget(request.url);
    // A body nobody reads would keep the connection from being used again.
    request.resume();
    if (request.method === 'OPTIONS' && path === '/api/voices') {
      this.#preflight(request, response);
      return;
    }
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
          ...this.#toldBeforeTalking(),
        });
        return;
    }
    const { files, page } = this.#site;
    if (path === '/api/voices') {
      void this.#voices(request, response, query);
    } else if (files) {
      void files.serve(request, response, path);
    } else if (page?.owns(path)) {
      page.answer(request, response, path);
    } else if (path === '/') {
      const text = plainPage(this.#engine.info);
      send(response, 200, 'text/html; charset=utf-8', text, pageHeaders(plainPagePolicy));
    } else {
      sendText(response, 404, 'There is nothing here: the conversation is at /api/chat.');
    }
  }

  /** What the page shows before anybody talks; nothing that the metadata would not tell them. */
  #toldBeforeTalking() {
    const { model, dialect, trained, slots, keepsUp } = this.#engine.info;
    return { model, dialect, trained, slots, keepsUp };
  }

  /** A browser asks whether a page of another origin may send its key in a header. */
  #preflight(request: IncomingMessage, response: ServerResponse): void {
    const { origin } = request.headers;
    if (origin === undefined || !this.#access.allowsOrigin(origin, request.headers.host)) {
      const { status, text } = foreignOrigin(origin ?? 'null');
      sendText(response, status, text);
      return;
    }
    response.setHeader('access-control-allow-origin', origin).setHeader('vary', 'origin');
    response
      .setHeader('access-control-allow-methods', 'GET')
      .setHeader('access-control-allow-headers', 'authorization');
    response.writeHead(204).end();
  }

  /** The engine's voices, for those who may talk with them. */
  async #voices(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): Promise<void> {
    const forbidden = this.#access.check(request, query);
    if (forbidden) {
      for (const [name, value] of Object.entries(forbidden.headers ?? {})) response.setHeader(name, value);
      sendText(response, forbidden.status, forbidden.text);
      return;
    }
    const { origin } = request.headers;
    if (origin !== undefined) response.setHeader('access-control-allow-origin', origin).setHeader('vary', 'origin');
    try {
      const voices = (await this.#engine.voices?.()) ?? [];
      sendJson(response, 200, { voices: voices.map(({ name }) => ({ name })) });
    } catch (error) {
      sendText(response, 500, `The voices cannot be listed: ${errorMessage(error)}`);
    }
  }
}

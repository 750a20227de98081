import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ChatParameters, parseChatQuery, parseResumeQuery, type ResumeRequest } from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import { type Server as SocketServer, WebSocketServer } from 'ws';
import { Access } from './access';
import { errorMessage, ServerError } from './errors';
import { attach } from './http/attach';
import { openPage } from './http/page-files';
import { refuseUpgrade } from './http/respond';
import { chatPath, type Readiness, Routes, type Site, splitTarget } from './http/routes';
import { openStaticFiles } from './http/static-files';
import { type ResolvedOptions, resolveOptions, type ServerOptions } from './options';
import { ChatSession } from './session/chat-session';
import { ExplainingSocket } from './session/explaining-socket';
import { refuseSocket } from './session/refuse-socket';
import { Resumption } from './session/resumption';
import type { ServerSession } from './session/server-session';
import { WaitingLine } from './session/waiting-line';
import { loadTls } from './tls';

/** Events of a {@link Server} and their arguments. */
export interface ServerEvents {
  /** The server takes connections. */
  listening: [address: AddressInfo];
  /** A client connected and has a slot or a place in the line. */
  session: [session: ServerSession];
  /** The listening socket or the engine failed. The server goes on; sessions that were hit are closed with 1011. */
  error: [error: Error];
  /** {@link Server.close} is through; the last event. */
  closed: [];
}

/** A running server. */
export interface Server extends EventEmitter<ServerEvents> {
  /** Where it listens; null before 'listening' and after the end, or when the attached server listens on a pipe. */
  readonly address: AddressInfo | null;
  /** The same as an address to open, such as `http://127.0.0.1:8998`; empty when {@link Server.address} is null. */
  readonly url: string;
  /** Connected clients, the waiting ones included. */
  readonly sessions: ReadonlySet<ServerSession>;
  /** Slots and line, as `/readyz` tells them. */
  readonly readiness: Readiness;
  /**
   * Stops accepting, tells every client with an Error message and close code 1001, waits for them at most `graceMs`
   * (default 2000), destroys what is left, and resolves when the slots are given back. The engine stays open.
   */
  close(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Starts a server that speaks the protocol of the Moshi and PersonaPlex servers on `/api/chat` for any {@link Engine}.
 * Resolves when it listens (with `server`: at once). Rejects with a {@link ServerError} that names the cure:
 * `BAD_OPTION`, `TLS`, or `LISTEN` when the port cannot be had.
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const resolved = resolveOptions(options);
  const access = new Access(resolved.origins, resolved.keys);
  const site: Site = {
    ...(resolved.staticDir !== undefined && { files: await openStaticFiles(resolved.staticDir) }),
    ...(resolved.page && { page: await openPage() }),
  };
  const http = resolved.server ?? (await createListener(resolved));
  const server = new MoshiServer(http, resolved, access, site);
  if (!resolved.server) await server.listen();
  return server;
}

async function createListener({ tls }: ResolvedOptions): Promise<HttpServer | HttpsServer> {
  // Text prompts travel in the query: room for 100 000 characters of any script, 12 bytes each once they are escaped.
  const maxHeaderSize = 2 * 1024 * 1024;
  if (tls === undefined) return createHttpServer({ maxHeaderSize });
  const { key, cert } = await loadTls(tls);
  return createHttpsServer({ maxHeaderSize, key, cert });
}

class MoshiServer extends EventEmitter<ServerEvents> implements Server {
  readonly sessions = new Set<ChatSession>();
  readonly #http: HttpServer | HttpsServer;
  readonly #options: ResolvedOptions;
  readonly #access: Access;
  readonly #routes: Routes;
  readonly #line: WaitingLine;
  readonly #sockets: SocketServer<typeof ExplainingSocket>;
  readonly #connections = new Map<string, number>();
  readonly #resumption = new Resumption<ChatSession>();
  readonly #detach: () => void;
  readonly #onError = (error: Error) => this.emit('error', error);
  readonly #onListening = () => {
    const { address } = this;
    if (!address) return;
    this.#options.logger.info('listening', { url: this.url });
    // Later, so that listeners added right after createServer hear it.
    setImmediate(() => this.emit('listening', address));
  };
  #closing: Promise<void> | undefined;

  constructor(http: HttpServer | HttpsServer, options: ResolvedOptions, access: Access, site: Site) {
    super();
    const { engine, limits, server: attached } = options;
    this.#http = http;
    this.#options = options;
    this.#access = access;
    this.#line = new WaitingLine(engine.info.slots, limits.waiting);
    this.#routes = new Routes(engine, access, () => this.readiness, site);
    this.#sockets = new WebSocketServer({
      noServer: true,
      WebSocket: ExplainingSocket,
      perMessageDeflate: false,
      maxPayload: limits.messageBytes,
    });
    this.#detach = attach(http, {
      request: (request, response) => {
        if (attached && !this.#routes.owns(splitTarget(request.url).path)) return false;
        this.#routes.answer(request, response);
        return true;
      },
      upgrade: (request, socket, head) => {
        const { path, query } = splitTarget(request.url);
        if (path !== chatPath) return false;
        this.#upgrade(request, socket, head, query);
        return true;
      },
    });
    http.on('error', this.#onError);
    http.on('listening', this.#onListening);
    if (http.listening) this.#onListening();
  }

  get address(): AddressInfo | null {
    const address = this.#http.address();
    return typeof address === 'object' ? address : null;
  }

  get url(): string {
    const { address } = this;
    if (!address) return '';
    const scheme = 'setSecureContext' in this.#http ? 'https' : 'http';
    const everywhere = address.address === '0.0.0.0' || address.address === '::';
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return `${scheme}://${everywhere ? 'localhost' : host}:${address.port}`;
  }

  get readiness(): Readiness {
    const { slots, held: live, waiting, open } = this.#line;
    return { ready: open && !this.#closing, slots, live, waiting };
  }

  async listen(): Promise<void> {
    const { port, host } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        this.#detach();
        reject(new ServerError('LISTEN', listenMessage(error, host, port), { cause: error }));
      };
      this.#http.once('error', failed);
      this.#http.listen(port, host, () => {
        this.#http.off('error', failed);
        resolve();
      });
    });
  }

  close({ graceMs = 2000 }: { graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    const own = !this.#options.server;
    const listenerClosed = own ? new Promise((resolve) => this.#http.close(resolve)) : undefined;
    this.#line.clear();
    const sessions = [...this.sessions];
    for (const session of sessions) session.close(1001, 'server closing', 'The server is shutting down.');
    const gone = [...this.#sockets.clients].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    const slots = sessions.map((session) => session.done);
    await within(graceMs, Promise.all([...gone, ...slots]));
    for (const socket of this.#sockets.clients) socket.terminate();
    // An engine that is still stepping prompts in cannot be stopped; it gives its slot back when it is through.
    await within(1000, Promise.all([...gone, ...slots]));
    this.#detach();
    this.#http.off('listening', this.#onListening);
    if (own) (this.#http as HttpServer).closeAllConnections();
    await listenerClosed;
    this.#http.off('error', this.#onError);
    this.#options.logger.info('closed');
    this.emit('closed');
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, query: URLSearchParams): void {
    const { limits, logger, clientAddress } = this.#options;
    const address = clientAddress?.(request) ?? request.socket.remoteAddress ?? 'unknown';
    const forbidden = this.#access.check(request, query);
    if (forbidden) {
      logger.warn('connection refused', { address, status: forbidden.status, why: forbidden.text });
      refuseUpgrade(socket, forbidden);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (client) => {
      // What it breaks before it has a session is no business of anybody else: an error without a listener ends the process.
      client.on('error', () => {});
      const wish = readWish(query);
      const lost = wish.resume && this.#resumption.find(wish.resume.token);
      // After the upgrade, because a browser cannot read why one was refused.
      const busy = this.#closing ? 'The server is shutting down.' : this.#tooMany(address, lost);
      if (busy) {
        logger.warn('connection refused', { address, why: busy });
        refuseSocket(client, limits.closeMs, 1013, this.#closing ? 'server closing' : 'too many connections', busy);
        return;
      }
      this.#connections.set(address, (this.#connections.get(address) ?? 0) + 1);
      client.on('close', () => {
        const left = this.#connections.get(address)! - 1;
        if (left > 0) this.#connections.set(address, left);
        else this.#connections.delete(address);
      });
      this.#accept(client, address, wish, lost);
    });
  }

  #tooMany(address: string, lost: ChatSession | undefined): string | undefined {
    const { connectionsPerAddress: most } = this.#options.limits;
    // Whoever comes back takes a place of its own.
    if (most === 0 || lost) return undefined;
    const away = [...this.sessions].filter(
      (session) => session.address === address && session.state.name === 'detached',
    );
    if ((this.#connections.get(address) ?? 0) + away.length < most) return undefined;
    return `There are ${most} connections from this address already: close one first.`;
  }

  #accept(client: ExplainingSocket, address: string, wish: Wish, lost: ChatSession | undefined): void {
    const { engine, limits, logger } = this.#options;
    const { closeMs } = limits;
    const { parameters, resume, problems } = wish;
    if (problems.length > 0) {
      logger.warn('bad query', { address, problems });
      void this.#voicesFor(problems).then((voices) => {
        refuseSocket(client, closeMs, 1008, 'bad parameters', [...problems, ...voices].join(' '));
      });
      return;
    }
    if (resume && lost?.attach(client, address, resume.received)) return;
    if (!this.#line.open) {
      logger.warn('server full', { address, ...this.readiness });
      const message = `All ${this.#line.slots} places and the ${limits.waiting} in the line are taken: try again later.`;
      refuseSocket(client, closeMs, 1013, 'server full', message);
      return;
    }
    const session = new ChatSession(client, address, parameters, {
      engine,
      limits,
      logger,
      line: this.#line,
      resumption: this.#resumption,
      engineFailed: (error) => this.emit('error', error),
    });
    this.sessions.add(session);
    session.once('closed', () => this.sessions.delete(session));
    this.emit('session', session);
    session.enter(resume && (lost ? 'gap' : this.#resumption.refusal(resume.token)));
  }

  /** Who asked for a voice that cannot be one is told those there are. */
  async #voicesFor(problems: readonly string[]): Promise<string[]> {
    if (!problems.some((problem) => problem.startsWith('voice_prompt'))) return [];
    const voices = (await this.#options.engine.voices?.().catch(() => [])) ?? [];
    if (voices.length === 0) return [];
    const listed = voices.slice(0, 40).map(({ name }) => name);
    return [`The voices are ${listed.join(', ')}${voices.length > 40 ? ` and ${voices.length - 40} more` : ''}.`];
  }
}

/** What a client asks for when it connects. */
interface Wish {
  readonly parameters: ChatParameters;
  /** The conversation to be taken up; clients without extensions have none. */
  readonly resume?: ResumeRequest;
  /** One sentence for each bad value. */
  readonly problems: readonly string[];
}

function readWish(query: URLSearchParams): Wish {
  const { parameters, problems } = parseChatQuery(query);
  if (!parameters.extensions) return { parameters, problems };
  const { request, problem } = parseResumeQuery(query);
  return { parameters, resume: request, problems: problem === undefined ? problems : [...problems, problem] };
}

/** Waits for a promise, but no longer than `ms`. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise, timeout]);
  clearTimeout(timer);
}

function listenMessage(error: NodeJS.ErrnoException, host: string, port: number): string {
  if (error.code === 'EADDRINUSE')
    return `port ${port} on ${host} is in use: stop what uses it, or choose another port`;
  if (error.code === 'EACCES') return `port ${port} may not be used by this account: choose one above 1023`;
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') {
    return `${host} is no address of this machine: use 127.0.0.1, or 0.0.0.0 for all networks`;
  }
  return `cannot listen on ${host}:${port}: ${errorMessage(error)}`;
}

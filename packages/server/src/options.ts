import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Engine } from './engine';
import { ServerError } from './errors';
import { type Logger, silentLogger } from './logger';

/** What one server allows. Every figure can be changed; 0 means "no limit" where it says so. */
export interface ServerLimits {
  /** Clients that may wait for a slot; the next one is told "server full" (1013). Default 16. */
  waiting: number;
  /** Bytes of one incoming message, type byte included; a bigger one closes with 1009. Default 4 MiB, as the stock servers. */
  messageBytes: number;
  /** Milliseconds of audio received but not yet stepped before reading from the socket stops. Default 2000. */
  bufferedInputMs: number;
  /** Bytes not yet taken by the client before stepping stops. Default 256 KiB. */
  bufferedOutputBytes: number;
  /** Milliseconds a client may leave its output full before it is closed with 1008. Default 20 000. */
  slowReaderMs: number;
  /** Milliseconds without an audio message before a conversation is closed with 1008; 0 = no limit. Default 10 minutes. */
  idleMs: number;
  /** Milliseconds a conversation may last, from the handshake on; 0 = no limit. Default 0. */
  sessionMs: number;
  /**
   * Connections from one address at the same time, the waiting ones and the conversations kept for it included; 0 = no
   * limit. Default 32.
   */
  connectionsPerAddress: number;
  /** Milliseconds between WebSocket pings; a peer that answers none in between is dropped; 0 = no pings. Default 15 000. */
  pingMs: number;
  /**
   * Milliseconds a conversation is kept, with its slot, for a client with extensions that lost its connection; 0 = not at
   * all. Default 15 000.
   */
  resumeMs: number;
  /** Bytes of each conversation's last messages, kept for such a client. Default 512 KiB: about two minutes. */
  resumeBytes: number;
  /** Milliseconds a client gets to answer a close before its socket is destroyed. Default 5000. */
  closeMs: number;
}

/** The defaults of {@link ServerLimits}. */
export const defaultLimits: Readonly<ServerLimits> = {
  waiting: 16,
  messageBytes: 4 * 1024 * 1024,
  bufferedInputMs: 2000,
  bufferedOutputBytes: 256 * 1024,
  slowReaderMs: 20_000,
  idleMs: 600_000,
  sessionMs: 0,
  connectionsPerAddress: 32,
  pingMs: 15_000,
  resumeMs: 15_000,
  resumeBytes: 512 * 1024,
  closeMs: 5000,
};

/** A private key and its certificate (chain), both PEM. */
export interface TlsFiles {
  /** PEM text of the private key. */
  key: string | Buffer;
  /** PEM text of the certificate, or of the chain. */
  cert: string | Buffer;
}

/** Options of {@link createServer}. */
export interface ServerOptions {
  /** What answers. The server opens and closes its sessions but never the engine itself. */
  engine: Engine;
  /** TCP port, 0 = any free one. Default 8998, as the stock servers. */
  port?: number;
  /** Address to listen on. Default `127.0.0.1`: only this machine; `0.0.0.0` or `::` for the network. */
  host?: string;
  /**
   * An http(s) server of yours to attach to: only its own routes are taken, `/api/chat` and those
   * that tell about it. Long prompts need its `maxHeaderSize` raised: they travel in the query.
   */
  server?: HttpServer | HttpsServer;
  /** Serve https and wss: the PEM texts, or the folder that holds `key.pem` and `cert.pem`. */
  tls?: TlsFiles | string;
  /** Folder served at `/` in place of the built-in page. Not with `server`. */
  staticDir?: string;
  /**
   * Serve the built-in page to talk with, at `/` and `/test-voice`. Default true; with `server` false, as `/` is yours there.
   * Without it `/` only says what this server is.
   */
  page?: boolean;
  /** Changes to {@link defaultLimits}. */
  limits?: Partial<ServerLimits>;
  /** Where log lines go. Default: nowhere. */
  logger?: Logger;
  /**
   * Web pages that may connect, such as `https://app.example.com`, besides those of this server's own host; `'*'` = all.
   * Programs send no Origin and are not affected. Default: only the own host.
   */
  origins?: readonly string[] | '*';
  /** Keys that open `/api/chat`, sent as `authorization: Bearer KEY` or `?key=KEY`. Default: open to all. */
  keys?: readonly string[];
  /** Address a connection counts for, such as one from a proxy's header you trust. Default: the socket's. */
  clientAddress?: (request: IncomingMessage) => string;
}

/** Options with every default filled in and every value checked. */
export interface ResolvedOptions extends ServerOptions {
  port: number;
  host: string;
  page: boolean;
  limits: ServerLimits;
  logger: Logger;
}

/** Fills in the defaults. Throws `BAD_OPTION` naming the option, its value and what is allowed. */
export function resolveOptions(options: ServerOptions): ResolvedOptions {
  if (typeof options?.engine?.open !== 'function') {
    throw new ServerError('BAD_OPTION', 'createServer needs an engine: { engine: loopbackEngine() } works anywhere');
  }
  const { slots } = options.engine.info;
  if (!Number.isInteger(slots) || slots < 1) {
    throw new ServerError('BAD_OPTION', `the engine says it has ${slots} slots: an engine needs at least 1`);
  }
  if (options.server && (options.port !== undefined || options.host !== undefined || options.tls !== undefined)) {
    throw new ServerError(
      'BAD_OPTION',
      'with { server } the port, host and tls are that server’s: leave them out here',
    );
  }
  if (options.server && options.staticDir !== undefined) {
    throw new ServerError('BAD_OPTION', 'staticDir does not go with { server }: serve the folder from your own server');
  }
  const port = options.port ?? 8998;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ServerError('BAD_OPTION', `port is ${port}: give an integer from 0 (any free port) to 65535`);
  }
  if (options.keys?.some((key) => typeof key !== 'string' || key.trim() === '')) {
    throw new ServerError('BAD_OPTION', 'keys holds an empty key: every key needs at least one character');
  }
  return {
    ...options,
    port,
    host: options.host ?? '127.0.0.1',
    page: options.page ?? (options.server === undefined && options.staticDir === undefined),
    limits: resolveLimits(options.limits),
    logger: options.logger ?? silentLogger,
  };
}

const wholeFrom: Partial<Record<keyof ServerLimits, number>> = {
  messageBytes: 1024,
  bufferedInputMs: 80,
  bufferedOutputBytes: 1024,
};

function resolveLimits(changes: Partial<ServerLimits> = {}): ServerLimits {
  const limits = { ...defaultLimits };
  for (const [name, value] of Object.entries(changes)) {
    if (!(name in defaultLimits)) {
      throw new ServerError(
        'BAD_OPTION',
        `limits.${name} is not a limit: use ${Object.keys(defaultLimits).join(', ')}`,
      );
    }
    if (value === undefined) continue;
    const least = wholeFrom[name as keyof ServerLimits] ?? 0;
    // Node's timers take 31 bits; a larger delay would fire at once.
    if (!Number.isInteger(value) || value < least || value > 0x7fffffff) {
      throw new ServerError('BAD_OPTION', `limits.${name} is ${value}: give an integer from ${least} to ${0x7fffffff}`);
    }
    limits[name as keyof ServerLimits] = value;
  }
  return limits;
}

/** Where the server writes its log lines: a console, or a thin wrapper around pino and the like. Default: nowhere. */
export interface Logger {
  /** Detail for debugging: ignored messages, queue moves. */
  debug(message: string, fields?: Record<string, unknown>): void;
  /** The life of sessions and of the server. */
  info(message: string, fields?: Record<string, unknown>): void;
  /** Something a client did wrong, or a limit that was hit. */
  warn(message: string, fields?: Record<string, unknown>): void;
  /** Something that failed on our side. */
  error(message: string, fields?: Record<string, unknown>): void;
}

const nothing = () => {};

/** Writes nothing. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

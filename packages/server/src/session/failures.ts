import { errorCode, errorMessage } from '../errors';
import type { Logger } from '../logger';

/** What {@link Failures} needs of a session. */
export interface FailuresHost {
  log(level: keyof Logger, message: string, fields?: Record<string, unknown>): void;
  /** The engine failed in a way that is nobody's wish. */
  engineFailed(error: Error): void;
  /** Ends the session. */
  finish(code: number, reason: string, message: string): void;
}

/** Why sessions end that should not: one line for the log, one for the client. */
export class Failures {
  readonly #host: FailuresHost;

  constructor(host: FailuresHost) {
    this.#host = host;
  }

  /** The client is at fault, or over a limit. */
  client(code: number, reason: string, message: string): void {
    this.#host.log('warn', message, { code, reason });
    this.#host.finish(code, reason, message);
  }

  /** The engine did not open a session. */
  refused(error: unknown): void {
    if (errorCode(error) === 'ENGINE_BAD_OPTION') this.client(1008, 'bad option', errorMessage(error));
    else this.engine(error);
  }

  engine(error: unknown): void {
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#host.log('error', `the engine failed: ${errorMessage(error)}`, { error: cause });
    this.#host.engineFailed(cause);
    this.#host.finish(1011, 'engine error', `The engine failed: ${errorMessage(error)}`);
  }

  /** Sound or text did not get through this server, for a hook of the host most likely. */
  passing(error: unknown): void {
    this.#host.log('error', `passing sound or text on failed: ${errorMessage(error)}`, { error });
    this.#host.finish(1011, 'server error', `The server failed to pass sound or text on: ${errorMessage(error)}`);
  }
}

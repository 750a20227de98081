import type { DialectName } from '@moshi/protocol';
import type { CloseWords } from './close-words';
import { MoshiError } from './errors';
import type { TransportClose } from './transport';

/** What is known about a connection when it ends. */
export interface ConnectionEnd {
  /** Address without query. */
  readonly url: string;
  readonly dialect: DialectName;
  /** False when the socket never opened. */
  readonly opened: boolean;
  readonly ready: boolean;
  /** The family is a guess, and neither voice nor prompt was given. */
  readonly personaMissing: boolean;
  readonly msSinceOpen: number;
  /** The last Error message of the server. */
  readonly serverError?: MoshiError;
}

/** The error for a connection that this side did not end, or undefined when it ended as it should. */
export function explainClose(close: TransportClose, context: ConnectionEnd, words: CloseWords): MoshiError | undefined {
  if (close.refused) return words.refused(close.refused, context.url);
  // What this runtime cannot do says so itself.
  if (close.error instanceof MoshiError) return close.error;
  if (!context.opened) return words.unreachable(context.url, close.error);
  const { ready, serverError } = context;
  if (ready && !serverError && close.clean && (close.code === 1000 || close.code === 1005)) return undefined;
  const { message, retryable } = words.closed(close.code, close.reason, context);
  if (serverError && !ready) return new MoshiError('server', serverError.message, { retryable, cause: close.error });
  return new MoshiError('closed', message, { retryable, cause: serverError ?? close.error });
}

/** The error for codecs that did not come up. */
export function codecFailure(cause: unknown): MoshiError {
  if (cause instanceof MoshiError) return cause;
  if (cause instanceof RangeError) return new MoshiError('bad-option', `opus: ${cause.message}`, { cause });
  return new MoshiError('codec', `Opus could not be started: ${String(cause)}`, { cause });
}

/** The error for a signal that fired. */
export function aborted(cause: unknown): MoshiError {
  return new MoshiError('aborted', 'connect was aborted', { cause });
}

/** The error for a server that was not ready in time. */
export function tooSlow(url: string, opened: boolean, timeoutMs: number): MoshiError {
  const what = opened
    ? 'took the call but was not ready; it may serve someone else first, or still read its prompt'
    : 'did not answer';
  return new MoshiError('handshake-timeout', `${url} ${what} (handshakeTimeoutMs ${timeoutMs})`, { retryable: true });
}

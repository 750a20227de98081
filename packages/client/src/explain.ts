import type { DialectName } from '@moshi/protocol';
import type { CloseWords } from './close-words';
import { MoshiError } from './errors';
import type { RefusedUpgrade } from './platform/types';
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

const PERSONA_HINT =
  " A PersonaPlex server does this to callers without a voice and a prompt: pass dialect: 'personaplex'.";
const RETRYABLE_STATUS = new Set([408, 425, 429, 500, 502, 503, 504]);

/** The error for a connection that this side did not end, or undefined when it ended as it should. */
export function explainClose(close: TransportClose, context: ConnectionEnd, words: CloseWords): MoshiError | undefined {
  if (close.refused) return explainRefusal(close.refused, context.url, words);
  if (!context.opened) return explainUnreachable(close, context.url, words);
  const { ready, serverError } = context;
  if (ready && !serverError && close.clean && (close.code === 1000 || close.code === 1005)) return undefined;
  const { message, retryable } = words.describeClose(close.code, close.reason, {
    dialect: context.dialect,
    ready,
    msSinceOpen: context.msSinceOpen,
  });
  if (serverError && !ready) return new MoshiError('server', serverError.message, { retryable, cause: close.error });
  const hint = close.code === 1006 && !ready && context.personaMissing ? PERSONA_HINT : '';
  return new MoshiError('closed', message + hint, { retryable, cause: serverError ?? close.error });
}

function explainRefusal({ status, text }: RefusedUpgrade, url: string, words: CloseWords): MoshiError {
  const detail = text.trimStart().startsWith('<') ? '' : text.replace(/\s+/g, ' ').trim().slice(0, 200);
  const cure = words.cureRefusal(status);
  const message = [`${url} refused the connection with HTTP ${status}`, detail, cure].filter(Boolean).join(': ');
  return new MoshiError('refused', message, { retryable: RETRYABLE_STATUS.has(status) });
}

function explainUnreachable(close: TransportClose, url: string, words: CloseWords): MoshiError {
  const error = close.error as (Error & { code?: string }) | undefined;
  const what = error?.code ?? error?.message ?? 'no connection';
  return new MoshiError(
    'unreachable',
    `cannot reach ${url} (${what}): ${words.cureUnreachable(what, error?.message ?? '')}`,
    {
      retryable: true,
      cause: error,
    },
  );
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

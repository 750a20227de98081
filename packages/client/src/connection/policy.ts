import { MoshiError } from '../errors';

/** What a {@link ReconnectPolicy} decides by. */
export interface ReconnectContext {
  /** Attempts that failed since the connection was lost, 0 at first. */
  readonly attempt: number;
  /** Milliseconds since the connection was lost. */
  readonly elapsedMs: number;
  /** Why it was lost, or why the last attempt failed. Errors that are not `retryable` never come here. */
  readonly error: MoshiError;
  /** Milliseconds for which the server keeps the conversation; undefined when it does not. */
  readonly graceMs?: number;
}

/** Decides when to try again; any object with this method. See {@link defaultReconnectPolicy}. */
export interface ReconnectPolicy {
  /** Milliseconds until the next attempt; null, and what is no time, gives up: the session then closes with the error that broke it. */
  nextDelayMs(context: ReconnectContext): number | null;
  /** False: a conversation that the server does not keep ends the session; left out: a new one begins, as event `new-conversation` tells. */
  readonly newConversation?: boolean;
}

/** What can be changed of {@link defaultReconnectPolicy}. */
export interface ReconnectOptions {
  /** Milliseconds before each attempt, 30 % more or less at random, the last one repeated. Default 0, 500, 1000, 2000, 4000, 5000. */
  readonly delaysMs?: readonly number[];
  /** Milliseconds after which it gives up; default 60 000. */
  readonly maxElapsedMs?: number;
  /** Whether a conversation that the server does not keep may be followed by a new one on its own; default true. */
  readonly newConversation?: boolean;
}

const DELAYS_MS = [0, 500, 1000, 2000, 4000, 5000];
const MAX_ELAPSED_MS = 60_000;

/** The policy of `connect` unless told otherwise. Throws {@link MoshiError} `bad-option`. */
export function defaultReconnectPolicy(options: ReconnectOptions = {}): ReconnectPolicy {
  const { delaysMs = DELAYS_MS, maxElapsedMs = MAX_ELAPSED_MS, newConversation = true } = options;
  if (!(delaysMs.length > 0) || !delaysMs.every((ms) => ms >= 0)) {
    throw new MoshiError('bad-option', 'reconnect.delaysMs must hold at least one number of milliseconds');
  }
  if (!(maxElapsedMs >= 0)) {
    throw new MoshiError('bad-option', `reconnect.maxElapsedMs must be milliseconds, not ${String(maxElapsedMs)}`);
  }
  return {
    newConversation,
    nextDelayMs({ attempt, elapsedMs }) {
      if (elapsedMs >= maxElapsedMs) return null;
      const delay = delaysMs[Math.min(attempt, delaysMs.length - 1)]!;
      // Many clients lose one server at the same moment: they must not come back at the same one.
      return delay * (0.7 + 0.6 * Math.random());
    },
  };
}

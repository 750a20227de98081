import type { MoshiError } from '../errors';

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
  /** Milliseconds until the next attempt, or null to give up: the session then closes with the error that broke it. */
  nextDelayMs(context: ReconnectContext): number | null;
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

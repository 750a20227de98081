import type { MoshiError } from './errors';

/**
 * Where a session is. `waiting` means the socket is open and the server is not ready: the call is in line, or the
 * server is stepping through its prompts; `position` is the place in line (1 is next) where the server tells it.
 */
export type SessionState =
  | { readonly status: 'connecting' }
  | { readonly status: 'waiting'; readonly position?: number }
  | { readonly status: 'ready' }
  /** The connection was lost and is being made anew; sound is kept for up to `maxBufferedMs`. */
  | { readonly status: 'reconnecting'; readonly attempt: number; readonly error: MoshiError }
  | { readonly status: 'closing' }
  | { readonly status: 'closed'; readonly code: number; readonly reason: string; readonly error?: MoshiError };

/**
 * What went wrong, for programs:
 * - `bad-option` an address or option cannot be used; nothing was sent
 * - `unreachable` no connection: wrong host or port, server down, TLS trouble
 * - `refused` the server answered the WebSocket upgrade with an HTTP error (400, 401, 403, 404, 503 …)
 * - `handshake-timeout` connected, but the server was not ready in time (a queue, or a long prompt)
 * - `aborted` the caller's AbortSignal fired
 * - `server` the server sent an Error message; its text is the message
 * - `closed` the connection ended without being asked to
 * - `silent` audio was sent and nothing at all came back for `idleTimeoutMs`
 * - `malformed` one message of the server could not be read; it was skipped and the session goes on
 * - `codec` Opus could not be started, or failed on a message
 * - `unsupported` this server (or runtime) cannot do what was asked
 * - `permission-denied` the microphone was refused: by the user, the system or the page's policy
 * - `no-device` there is no such microphone or loudspeaker
 * - `device-busy` another program holds the device
 * - `device-lost` the device went away while it was in use
 * - `insecure-page` browsers give a microphone to pages of https and of localhost only
 */
export type MoshiErrorCode =
  | 'bad-option'
  | 'unreachable'
  | 'refused'
  | 'handshake-timeout'
  | 'aborted'
  | 'server'
  | 'closed'
  | 'silent'
  | 'malformed'
  | 'codec'
  | 'unsupported'
  | 'permission-denied'
  | 'no-device'
  | 'device-busy'
  | 'device-lost'
  | 'insecure-page';

/** The one error class of this package: `code` says what happened, `retryable` whether trying again later can help. */
export class MoshiError extends Error {
  override readonly name = 'MoshiError';
  /** What went wrong, see {@link MoshiErrorCode}. */
  readonly code: MoshiErrorCode;
  /** True when the same call may succeed later without a change (server busy, network trouble). */
  readonly retryable: boolean;

  /** `message` is one line that names the cure where there is one; `cause` is the error underneath, if any. */
  constructor(code: MoshiErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/**
 * Why a {@link ProtocolError} was thrown: `empty` no bytes at all, `malformed` bytes that do not say what their
 * type must say, `unencodable` a value that has no form on the wire.
 */
export type ProtocolErrorCode = 'empty' | 'malformed' | 'unencodable';

/** Bytes that cannot be read, or a value that cannot be written. The message is one line and names the cure. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  /** What went wrong, for programs. */
  readonly code: ProtocolErrorCode;

  /** `options.cause` keeps the error underneath, a JSON error for instance. */
  constructor(code: ProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What went wrong, for programs: {@link ServerError.code}. */
export type ServerErrorCode = 'BAD_OPTION' | 'TLS' | 'LISTEN' | 'ENGINE_FULL' | 'ENGINE_BAD_OPTION' | 'UNSUPPORTED';

/** An error with a code for programs and one line for people that names the cure. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  /** What went wrong. */
  readonly code: ServerErrorCode;

  /** `options.cause` keeps the error underneath. */
  constructor(code: ServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The `code` of anything thrown, if it has one. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** The message of anything thrown, on one line. */
export function errorMessage(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').trim();
}

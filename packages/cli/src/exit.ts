/** What the `moshi` command's exit status means. */
export const ExitCode = {
  ok: 0,
  /** The work itself failed. */
  failed: 1,
  /** Unknown command or option, or a bad value. */
  usage: 2,
  /** The input file is missing or not what it should be. */
  input: 3,
  /** No server there, or it refused. */
  connection: 4,
  /** The model is missing or cannot be loaded. */
  model: 5,
  /** Ended by Ctrl+C. */
  interrupted: 130,
} as const;

/** One of the values of {@link ExitCode}. */
export type ExitStatus = (typeof ExitCode)[keyof typeof ExitCode];

/** A failure with its exit status; the message is one line and names the cure. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly status: ExitStatus;

  constructor(status: ExitStatus, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

/** Gives a failure of one stage of the work that stage's exit status; a status already given stays. */
export async function stage<T>(status: ExitStatus, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CliError || isAbort(error)) throw error;
    throw new CliError(status, oneLine(error), { cause: error });
  }
}

/** Whether an error only says that the user, or a signal, ended the work. */
export function isAbort(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return name === 'AbortError' || code === 'aborted' || code === 'ABORT_ERR';
}

/** The message of anything thrown, on one line. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, ' ').trim() || 'unknown error';
}

/** The exit status of anything thrown. */
export function statusOf(error: unknown): ExitStatus {
  if (error instanceof CliError) return error.status;
  return isAbort(error) ? ExitCode.interrupted : ExitCode.failed;
}

/** What went wrong while finding or fetching a model's files. */
export type HubErrorCode =
  | 'bad-reference'
  | 'bad-config'
  | 'missing-file'
  | 'not-found'
  | 'gated'
  | 'offline'
  | 'network'
  | 'server'
  | 'size'
  | 'checksum'
  | 'disk';

/** A model's files could not be found, fetched or trusted; the message is one line and names the cure. */
export class HubError extends Error {
  override readonly name = 'HubError';
  readonly code: HubErrorCode;

  constructor(code: HubErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC`, …), or undefined. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

const DISK_ADVICE: Record<string, string> = {
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EACCES: 'no permission to write',
  EPERM: 'no permission to write',
};

/** Turns a failed write under `cacheDir` into a clear error; anything else comes back as it was. */
export function explainDiskError(error: unknown, file: string, cacheDir: string): unknown {
  const reason = DISK_ADVICE[systemCode(error) ?? ''];
  if (reason === undefined) return error;
  return new HubError(
    'disk',
    `cannot store ${file} in ${cacheDir}: ${reason}. Free some space there or point HF_HOME at another disk.`,
    { cause: error },
  );
}

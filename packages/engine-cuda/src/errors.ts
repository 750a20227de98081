/**
 * What an {@link EngineError} is about:
 * `ENGINE_BAD_FILE` a file is broken, `ENGINE_BAD_MODEL` files do not form a model this engine runs, `ENGINE_BAD_OPTION` an
 * option is out of range, `ENGINE_FULL` every slot is taken, `ENGINE_CLOSED` the engine or session was closed before,
 * `ENGINE_NOT_BUILT` the native part, or its GPU kernels, are missing on this machine, `ENGINE_GPU_MEMORY` a GPU has no memory left,
 * `ENGINE_GPU_LOST` a GPU stopped working and its engine has to be loaded again, `ENGINE_GPU_DRIVER` its driver refused what it was
 * asked.
 */
export type EngineErrorCode =
  | 'ENGINE_BAD_FILE'
  | 'ENGINE_BAD_MODEL'
  | 'ENGINE_BAD_OPTION'
  | 'ENGINE_FULL'
  | 'ENGINE_CLOSED'
  | 'ENGINE_NOT_BUILT'
  | 'ENGINE_GPU_MEMORY'
  | 'ENGINE_GPU_LOST'
  | 'ENGINE_GPU_DRIVER';

/** Every failure of the engine; the message is one line and names the cure. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** An error of the native part as an {@link EngineError}; anything else as it is. */
export function asEngineError(error: unknown): unknown {
  if (error instanceof EngineError || !(error instanceof Error)) return error;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && code.startsWith('ENGINE_')
    ? new EngineError(code as EngineErrorCode, error.message, { cause: error })
    : error;
}

/** Runs `task` so that native errors leave as {@link EngineError}. */
export function translated<T>(task: () => T): T {
  try {
    return task();
  } catch (error) {
    throw asEngineError(error);
  }
}

/** As {@link translated}, for promises. */
export async function translatedAsync<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw asEngineError(error);
  }
}

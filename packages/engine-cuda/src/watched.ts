import { translatedAsync } from './errors';
import type { NativeJob } from './native';

const LOOK_MS = 100;

/** The result of native work: told how far it is ten times a second and at its end, and stopped by the signal. */
export async function watched<T, P>(
  start: () => NativeJob<T, P>,
  onProgress: (progress: P) => void,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  let timer: NodeJS.Timeout | undefined;
  let stop = () => {};
  try {
    return await translatedAsync(async () => {
      const job = start();
      stop = () => job.stop();
      signal?.addEventListener('abort', stop);
      const look = () => onProgress(job.progress());
      timer = setInterval(look, LOOK_MS);
      look();
      const result = await job.result;
      look();
      return result;
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
  }
}

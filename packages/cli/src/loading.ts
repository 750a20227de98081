import type { Engine } from '@moshi/server';
import { ExitCode, stage } from './exit';
import type { Codec, DownloadState, Host, LoadOptions } from './host';
import { ProgressBar } from './progress';

/** What the user chose about the model. */
export type ModelChoice = Pick<LoadOptions, 'model' | 'slots' | 'threads'>;

/** Loads an engine, with a progress bar for downloads. Throws status 5 with the engine's own words. */
export function loadEngine(host: Host, choice: ModelChoice): Promise<Engine> {
  return load(host, choice, async (options) => (await host.models()).loadEngine(options));
}

/** Loads only the Mimi codec, as {@link loadEngine} does. */
export function loadCodec(host: Host, choice: ModelChoice): Promise<Codec> {
  return load(host, choice, async (options) => (await host.models()).loadMimi(options));
}

async function load<T extends { close(): unknown }>(
  host: Host,
  choice: ModelChoice,
  start: (options: LoadOptions) => Promise<T>,
): Promise<T> {
  const bar = new ProgressBar(host.stderr);
  const onProgress = (state: DownloadState) =>
    bar.update(`fetching ${state.file}`, state.received, state.total, speed(state));
  try {
    const loading = stage(ExitCode.model, () => start({ ...choice, signal: host.signal, onProgress }));
    return await unlessAborted(host.signal, loading, (loaded) => loaded.close());
  } finally {
    bar.clear();
  }
}

/** Waits for work that cannot be cancelled no longer than until the signal; `discard` gets a result that came too late. */
export async function unlessAborted<T>(
  signal: AbortSignal,
  work: Promise<T>,
  discard: (late: T) => unknown = () => {},
): Promise<T> {
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      work.then(discard).catch(() => {});
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function speed({ bytesPerSecond }: DownloadState): string {
  return bytesPerSecond === undefined ? '' : `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
}

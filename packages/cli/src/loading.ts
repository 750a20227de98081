import type { Engine } from '@moshi/server';
import { CliError, ExitCode, type ExitStatus, stage } from './exit';
import type { Codec, DownloadState, Host, LoadOptions, Models } from './host';
import { ProgressBar } from './progress';

/** What the user chose about the model. */
export type ModelChoice = Omit<LoadOptions, 'signal' | 'onProgress' | 'onQuantize'>;

/** What work with the models is given on its way. */
export type Watch = Required<Pick<LoadOptions, 'signal' | 'onProgress'>>;

/** Loads an engine, with a progress bar for downloads. Throws status 5 with the engine's own words, 2 for bad options. */
export function loadEngine(host: Host, choice: ModelChoice): Promise<Engine> {
  const bar = new ProgressBar(host.stderr);
  return load(host, (models, watch) =>
    models
      .loadEngine({
        ...choice,
        ...watch,
        onQuantize: ({ done, total }) => bar.update('quantizing', done, total, 'only this once'),
      })
      .finally(() => bar.clear()),
  );
}

/** Loads only the Mimi codec, as {@link loadEngine} does. */
export function loadCodec(host: Host, choice: ModelChoice): Promise<Codec> {
  return load(host, (models, watch) => models.loadMimi({ ...choice, ...watch }));
}

/** Does something else with the models, with a progress bar for downloads and exit statuses as {@link loadEngine}. */
export async function withModels<T>(host: Host, work: (models: Models, watch: Watch) => Promise<T>): Promise<T> {
  const bar = new ProgressBar(host.stderr);
  // What an engine fetches later, such as voices, must not draw over a server's log.
  let done = false;
  const onProgress = (state: DownloadState) => {
    if (!done) bar.update(`fetching ${state.file}`, state.received, state.total, speed(state));
  };
  try {
    return await work(await stage(ExitCode.model, host.models), { signal: host.signal, onProgress });
  } catch (error) {
    return await stage(statusOfModels(error), () => Promise.reject(error));
  } finally {
    done = true;
    bar.clear();
  }
}

async function load<T extends { close(): unknown }>(
  host: Host,
  start: (models: Models, watch: Watch) => Promise<T>,
): Promise<T> {
  return await withModels(host, (models, watch) =>
    unlessAborted(host.signal, start(models, watch), (loaded) => loaded.close()),
  );
}

function statusOfModels(error: unknown): ExitStatus {
  if (error instanceof CliError) return error.status;
  return (error as { code?: unknown } | null)?.code === 'ENGINE_BAD_OPTION' ? ExitCode.usage : ExitCode.model;
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

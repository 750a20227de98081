import type { AudioOptions } from '../audio/types';
import { MoshiError } from '../errors';
import capture from '../worklets/capture?worklet';
import playout from '../worklets/playout?worklet';
import recorder from '../worklets/recorder?worklet';

const built = { capture, playout, recorder };

export type WorkletName = keyof typeof built;

const loaded = new WeakMap<BaseAudioContext, Map<WorkletName, Promise<void>>>();

/** Makes a worklet's processor known to a context, once. Rejects with {@link MoshiError} `unsupported`. */
export function addWorklet(context: AudioContext, name: WorkletName, from: AudioOptions['worklets']): Promise<void> {
  const known = loaded.get(context) ?? new Map<WorkletName, Promise<void>>();
  loaded.set(context, known);
  const loading = known.get(name) ?? (from === undefined ? addBuilt(context, name) : addServed(context, name, from));
  known.set(name, loading);
  // A file that could not be loaded may be there the next time.
  loading.catch(() => known.delete(name));
  return loading;
}

async function addServed(
  context: AudioContext,
  name: WorkletName,
  from: NonNullable<AudioOptions['worklets']>,
): Promise<void> {
  const url = typeof from === 'string' ? `${from.replace(/\/?$/, '/')}${name}.js` : from[name];
  try {
    await context.audioWorklet.addModule(url);
  } catch (cause) {
    throw new MoshiError(
      'unsupported',
      `the worklet ${url} could not be loaded: serve the files of @moshi/client/worklets there, as JavaScript, or leave audio.worklets out`,
      { cause },
    );
  }
}

/** A page's Content-Security-Policy may allow one of these and not the other. */
async function addBuilt(context: AudioContext, name: WorkletName): Promise<void> {
  const blob = URL.createObjectURL(new Blob([built[name]], { type: 'text/javascript' }));
  try {
    await context.audioWorklet.addModule(blob);
    return;
  } catch {
    // Tried once more below.
  } finally {
    URL.revokeObjectURL(blob);
  }
  try {
    await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(built[name])}`);
  } catch (cause) {
    throw new MoshiError(
      'unsupported',
      `the ${name} worklet could not be loaded, as a Content-Security-Policy may forbid blob: and data: scripts: serve the files of @moshi/client/worklets and pass their address as audio.worklets`,
      { cause },
    );
  }
}

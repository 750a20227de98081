/**
 * `connect` alone, for pages that count every byte: codecs, microphone and speaker are loaded when a session opens.
 *
 * @packageDocumentation
 */
import { type ConnectOptions, resolveOptions } from './options';
import { Session } from './session';
import { type LoadSound, SoundLoader } from './sound-loader';

/** Options of {@link connect}: those of `@moshi/client`, and where its sound comes from. */
export interface CoreOptions extends ConnectOptions {
  /** `() => import('@moshi/client/sound')`, which a bundler makes a file of its own. */
  readonly sound: LoadSound;
}

/** As `connect` of `@moshi/client`, which is this one with its sound. */
export async function connect(url: string | URL, options: CoreOptions): Promise<Session> {
  return Session.open(resolveOptions(url, options, new SoundLoader(options.sound)));
}

export { MoshiError, type MoshiErrorCode } from './errors';
export type { ConnectOptions, LoadSound, Session };

import { closeWords } from './close-words';
import { type ConnectOptions, resolveOptions } from './options';
import { Session } from './session';
import { SoundLoader } from './sound-loader';

/**
 * Connects to a Moshi-family server and resolves when the conversation can begin, that is when the server's handshake
 * has come. Being in line or prompting may take minutes: give `signal` to be able to stop, `on.waiting` to see it.
 *
 * Rejects with {@link MoshiError}: `bad-option`, `unreachable`, `refused`, `handshake-timeout`, `aborted`, `server`,
 * `closed`, `malformed`, `codec` or `unsupported`. Nothing stays open then.
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<Session> {
  return Session.open(resolveOptions(url, options, new SoundLoader(() => import('./sound'), closeWords)));
}

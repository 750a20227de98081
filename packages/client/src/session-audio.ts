import type { AudioOptions, AudioSession, SessionAudio } from './audio/types';
import { MoshiError } from './errors';

/** Made once for a session, at the first use of microphone, speaker or recorder. */
export function createSessionAudio(_session: AudioSession, _options: AudioOptions): SessionAudio {
  throw new MoshiError('unsupported', 'there are no sound devices here: use sendAudio and the event audio');
}

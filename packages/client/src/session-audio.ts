import { openAudio } from '#audio';
import { PlatformMicrophone } from './audio/microphone';
import type { AudioPlatform } from './audio/platform';
import { PlatformSpeaker } from './audio/speaker';
import type { AudioOptions, AudioSession, SessionAudio } from './audio/types';
import { MoshiError } from './errors';

const NO_DEVICES =
  'there are no sound devices here: use sendAudio and the event audio, or pass audio.platform with devices of your own';

/** What `start` and `record` say where there is nothing to run on. */
const noDevices: AudioPlatform = {
  openInput: () => Promise.reject(new MoshiError('unsupported', NO_DEVICES)),
  openOutput: () => Promise.reject(new MoshiError('unsupported', NO_DEVICES)),
  devices: () => Promise.reject(new MoshiError('unsupported', NO_DEVICES)),
  onDevices: () => () => {},
};

/** What microphones and speakers of a session run on: what the options name, else this runtime's. */
export function platformOf(options: AudioOptions): AudioPlatform {
  return options.platform ?? openAudio(options) ?? noDevices;
}

/** Made once for a session, at the first use of microphone, speaker or recorder. */
export function createSessionAudio(session: AudioSession, options: AudioOptions): SessionAudio {
  const platform = platformOf(options);
  const microphone = new PlatformMicrophone(platform, (pcm) => session.sendAudio(pcm));
  const speaker = new PlatformSpeaker(platform);
  session.on('audio', (event) => speaker.play(event));
  session.on('text', (event) => speaker.read(event));
  session.on('say-word', (event) => speaker.announce(event));
  session.on('new-conversation', () => speaker.clear());
  return {
    microphone,
    speaker,
    async record(recordOptions = {}) {
      if (platform.record) return platform.record(recordOptions);
      throw new MoshiError('unsupported', 'what sound runs on here cannot record: record the event audio yourself');
    },
    interrupted: () => speaker.interrupt(),
    get metrics() {
      return { capture: microphone.metrics, playout: speaker.metrics };
    },
    async close() {
      await Promise.all([microphone.end(), speaker.end()]);
    },
  };
}

import { openAudio } from '#audio';
import { sessionEnded } from './audio/media-errors';
import { PlatformMicrophone } from './audio/microphone';
import type { AudioPlatform } from './audio/platform';
import { Recordings } from './audio/recordings';
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
  const recordings = new Recordings();
  let isOver = false;
  session.on('audio', (event) => speaker.play(event));
  session.on('text', (event) => speaker.read(event));
  session.on('say-word', (event) => speaker.announce(event));
  session.on('new-conversation', () => speaker.clear());
  const audio: SessionAudio = {
    microphone,
    speaker,
    async record(recordOptions = {}) {
      if (!platform.record) {
        throw new MoshiError('unsupported', 'what sound runs on here cannot record: record the event audio yourself');
      }
      if (isOver) throw sessionEnded('record');
      const recording = recordings.add(await platform.record(recordOptions));
      if (!isOver) return recording;
      await recordings.stop();
      throw sessionEnded('record');
    },
    interrupted: () => speaker.interrupt(),
    get metrics() {
      return { capture: microphone.metrics, playout: speaker.metrics };
    },
    async close() {
      isOver = true;
      // What does not let go is no reason to keep the rest.
      await Promise.allSettled([microphone.end(), speaker.end(), recordings.stop()]);
    },
  };
  // Asked for when all is over, it would never be told to let go.
  if (session.state.status === 'closed') void audio.close();
  return audio;
}

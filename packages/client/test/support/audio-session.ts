import { concat } from '@moshi/protocol/audio';
import type { AudioSession } from '../../src/audio/types';
import type { AudioOptions, SessionEvents } from '../../src/index';
import { createSessionAudio } from '../../src/session-audio';

/** Microphone and speaker of a session that is only what they see of one: it keeps what it is sent, and says what the test says. */
export function audioSession(options: AudioOptions) {
  const sent: Float32Array[] = [];
  const listeners = new Map<string, (event: never) => void>();
  const session: AudioSession = {
    state: { status: 'ready' },
    sendAudio: (pcm) => sent.push(pcm.slice()),
    on: (event: string, listener: (event: never) => void) => listeners.set(event, listener),
  };
  const audio = createSessionAudio(session, options);
  const emit = <E extends keyof SessionEvents>(event: E, ...args: Parameters<SessionEvents[E]>) =>
    listeners.get(event)?.(args[0] as never);
  let time = 0;
  return {
    audio,
    emit,
    /** All samples sent so far. */
    sent: () => concat(sent),
    /** The model's next sound. */
    reply(pcm: Float32Array) {
      emit('audio', { pcm, time });
      time += pcm.length / 24_000;
    },
  };
}

import type { AudioPlatform, OutputOptions, OutputSink } from '@moshi/client';
import { SAMPLE_RATE } from '@moshi/protocol';
import { Metronome } from './metronome';
import { SystemInput } from './system-input';
import { SystemOutput } from './system-output';

/** A standstill of this process is none of the conversation: nobody waits for a file. */
const MOST_AT_ONCE_MS = 60;
/** Nobody listens meanwhile, so what comes late on a busy machine or network is waited for rather than missed. */
const MARGIN_MS = 300;

/** A recording in place of the microphone, in real time; then silence. 24 kHz mono. `ended` is called after its last sample. */
export function fileInput(pcm: Float32Array, ended: () => void): Pick<AudioPlatform, 'openInput'> {
  return {
    async openInput(options, sink) {
      let at = 0;
      const hear = (samples: number) => {
        const block = new Float32Array(samples);
        block.set(pcm.subarray(at, at + samples));
        const isLast = at < pcm.length && at + samples >= pcm.length;
        at += samples;
        input.hear(block);
        if (isLast) ended();
      };
      const clock = new Metronome(SAMPLE_RATE, hear, MOST_AT_ONCE_MS);
      const input = new SystemInput(sink, options, () => clock.stop());
      return input;
    },
  };
}

/** Takes all that would be heard, silence included, in place of the loudspeaker: 24 kHz mono. */
export function fileOutput(write: (pcm: Float32Array) => void): Pick<AudioPlatform, 'openOutput'> {
  const drain = { device: undefined, latencyMs: 0, fromStart: true, write, close: () => {} };
  return {
    openOutput(options: OutputOptions, sink: OutputSink) {
      const playout = { minMarginMs: MARGIN_MS, ...options.playout };
      return SystemOutput.open(async () => drain, { ...options, playout }, sink);
    },
  };
}

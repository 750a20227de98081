import { rms } from '@moshi/protocol/audio';

/** -45 dBFS: under breath, above the hiss of a codec. */
const QUIET_RMS = 10 ** (-45 / 20);
/** Parts looked at one by one, so that a short consonant is not averaged away. */
const PART_SECONDS = 0.0025;

/** Whether nothing in these samples would be missed: no part of 2.5 ms is louder than -45 dBFS. */
export function isQuiet(pcm: Float32Array, sampleRate: number): boolean {
  const part = Math.max(1, Math.round(PART_SECONDS * sampleRate));
  for (let at = 0; at < pcm.length; at += part) {
    if (rms(pcm.subarray(at, at + part)) > QUIET_RMS) return false;
  }
  return true;
}

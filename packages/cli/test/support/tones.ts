import { tone } from '@moshi/client/testing';

/** Tones one after the other, each of so many seconds, 24 kHz mono. */
export function melody(tones: readonly number[], seconds: number): Float32Array {
  return Float32Array.from(tones.flatMap((hz) => [...tone(hz, seconds)]));
}

/** For how long a tone is heard. */
export function toneSeconds(pcm: Float32Array, hz: number): number {
  let windows = 0;
  for (let at = 0; at + 480 <= pcm.length; at += 480) {
    let [re, im] = [0, 0];
    for (let i = 0; i < 480; i++) {
      re += pcm[at + i]! * Math.cos((2 * Math.PI * hz * i) / 24_000);
      im += pcm[at + i]! * Math.sin((2 * Math.PI * hz * i) / 24_000);
    }
    if (Math.hypot(re, im) / 240 > 0.2) windows++;
  }
  return windows / 50;
}

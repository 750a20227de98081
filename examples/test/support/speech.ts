import { readFileSync } from 'node:fs';
import { readWav } from '@moshi/protocol/audio';

const RATE = 24_000;

/** Some seconds of somebody speaking, 24 kHz mono, quiet at both ends. */
export function speech(seconds = 1.5): Float32Array {
  const { pcm } = readWav(readFileSync(new URL('../../audio/call-desk-24k.wav', import.meta.url)));
  const loud = pcm.findIndex((sample) => Math.abs(sample) > 0.1);
  return pcm.slice(loud, loud + Math.round(seconds * RATE));
}

export function silence(seconds: number): Float32Array {
  return new Float32Array(Math.round(seconds * RATE));
}

/** How much of the sound is one tone, from 0 to 1 (a pure one), by correlating with it. */
export function toneShare(pcm: Float32Array, hz: number, rate = RATE): number {
  let [re, im, energy] = [0, 0, 0];
  for (const [i, sample] of pcm.entries()) {
    re += sample * Math.cos((2 * Math.PI * hz * i) / rate);
    im += sample * Math.sin((2 * Math.PI * hz * i) / rate);
    energy += sample * sample;
  }
  return energy === 0 ? 0 : Math.sqrt((2 * (re * re + im * im)) / (pcm.length * energy));
}

/** Waits for something that another process is doing; the test's own time limit ends it. */
export async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    const found = look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

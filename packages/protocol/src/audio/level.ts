/** Root mean square of samples, 0 for none: 1 is a full-scale square wave. */
export function rms(pcm: Float32Array): number {
  let sum = 0;
  for (const sample of pcm) sum += sample * sample;
  return pcm.length === 0 ? 0 : Math.sqrt(sum / pcm.length);
}

/** Level of samples in decibels of full scale: 0 for a full-scale square wave, -Infinity for silence. */
export function dbfs(pcm: Float32Array): number {
  return 20 * Math.log10(rms(pcm));
}

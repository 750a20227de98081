/**
 * Sound on its way into and out of the protocol: pieces, sample rates, µ-law, 16-bit PCM, WAV files, levels. Pure functions.
 *
 * @packageDocumentation
 */
export { concat } from './concat';
export { dbfs, rms } from './level';
export { muLaw } from './mu-law';
export { pcm16 } from './pcm16';
export { Resampler, resample } from './resample';
export { readWav, type WavAudio, WavError } from './wav-reader';
export { type WavEncoding, type WavOptions, writeWav } from './wav-writer';

/**
 * Codecs, microphone and speaker, for sessions of `@moshi/client/core`: `connect(url, { sound: () => import('@moshi/client/sound') })`.
 *
 * @packageDocumentation
 */
import { browserCodecs } from '#codecs';
import * as codecs from './codecs';
import type { Sound } from './sound-loader';

/** Starts the codecs that the options name, or the default ones. */
export const createCodecs: Sound['createCodecs'] = (options, decodes) =>
  codecs.createCodecs(options.codecs ?? browserCodecs(options.audio.encoder), options.opus, decodes);

export { closeWords } from './close-words';
export { createSessionAudio as createAudio, platformOf } from './session-audio';

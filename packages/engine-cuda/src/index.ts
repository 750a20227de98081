/**
 * The models themselves, native: Mimi, the temporal and the depth transformer, with no Python and no PyTorch.
 *
 * @packageDocumentation
 */
export { defaultModel } from './default-model';
export { Engine, type LoadEngineOptions, loadEngine } from './engine';
export { EngineError, type EngineErrorCode } from './errors';
export { expandCheckpoint } from './expand';
export { type Hardware, inspectHardware } from './hardware';
export * from './hub';
export { loadMimi, MimiCodec } from './mimi';
export type { PersonaTimes } from './native';
export { EngineSession, type EngineSessionEvents } from './session';
export { loadTokenizer, type Tokenizer } from './tokenizer';
export type {
  EngineFrame,
  EngineInfo,
  EngineSayEvent,
  EngineSessionOptions,
  EngineVoice,
  SamplingOptions,
  SayOptions,
} from './types';
export {
  checkVoiceOutput,
  decodeVoice,
  type VoiceFile,
  type VoiceLibrary,
  type VoiceLibraryOptions,
  voiceLibrary,
  writeVoice,
} from './voices';

/**
 * The models themselves, native: Mimi, the temporal and the depth transformer, with no Python and no PyTorch.
 *
 * @packageDocumentation
 */
export { defaultModel } from './default-model';
export { Engine, type LoadEngineOptions, loadEngine } from './engine';
export { EngineError, type EngineErrorCode } from './errors';
export { type Hardware, inspectHardware } from './hardware';
export * from './hub';
export { loadMimi, MimiCodec } from './mimi';
export { EngineSession, type EngineSessionEvents } from './session';
export { loadTokenizer, type Tokenizer } from './tokenizer';
export type { EngineFrame, EngineInfo, EngineSessionOptions, SamplingOptions } from './types';

/**
 * The models themselves, native: Mimi, the temporal and the depth transformer, with no Python and no PyTorch.
 *
 * @packageDocumentation
 */
export type { Backend } from './backends';
export {
  type BenchCodec,
  type BenchFrames,
  type BenchOptions,
  type BenchRepeats,
  type BenchReport,
  type BenchStage,
  bench,
  LAYER_TYPES,
  type LayerType,
  SYNTHETIC_MODELS,
} from './bench';
export { defaultModel } from './default-model';
export { Engine } from './engine';
export { EngineError, type EngineErrorCode } from './errors';
export {
  type EvaluateOptions,
  type EvaluationProgress,
  evaluate,
  type QualityReport,
  type StreamQuality,
} from './evaluate';
export { expandCheckpoint } from './expand';
export { type Gpu, type GpuProblem, type Hardware, type InspectOptions, inspectHardware } from './hardware';
export * from './hub';
export { type DeviceOptions, type LoadEngineOptions, loadEngine } from './load-engine';
export { loadMimi, MimiCodec } from './mimi';
export type { PersonaTimes } from './native';
export {
  BACKENDS,
  type Estimates,
  PLANNED_MODELS,
  type Plan,
  type PlanKv,
  type PlannedModel,
  type PlanOverrides,
  type PlanWeights,
  plan,
  planDevices,
  planOverridesFromEnv,
} from './plan';
export { type Outlook, outlook } from './plan/outlook';
export {
  QUANTIZE_TYPES,
  type QuantizeOptions,
  type QuantizeResult,
  type QuantizeType,
  quantizeCheckpoint,
} from './quantize';
export { EngineSession, type EngineSessionEvents } from './session';
export type { GpuChoice } from './targets';
export { loadTokenizer, type Tokenizer } from './tokenizer';
export type {
  EngineDevice,
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
export { type QuantizeProgress, WEIGHT_FORMS, type WeightForm } from './weights';

/**
 * The `moshi` command as a function, and the tools it is made of: WAV files, resampling, files of Mimi codes.
 *
 * @packageDocumentation
 */
export {
  readWav,
  resample,
  type WavAudio,
  type WavEncoding,
  WavError,
  type WavOptions,
  writeWav,
} from '@moshi/protocol/audio';
export type { Keyboard } from './chat/keys';
export { CodesError, type CodesFile, readCodes, writeCodes } from './codes';
export type { BenchReport } from './commands/bench';
export type { DoctorReport } from './commands/doctor';
export { ExitCode, type ExitStatus } from './exit';
export type {
  Codec,
  DownloadState,
  EvaluateOptions,
  Host,
  LoadOptions,
  Models,
  QualityReport,
  StreamQuality,
  VoiceList,
  WeightForm,
} from './host';
export type { ProgressStream } from './progress';
export { run } from './run';
export { version } from './version';

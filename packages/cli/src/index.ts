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
export { CodesError, type CodesFile, readCodes, writeCodes } from './codes';
export type { DoctorReport } from './commands/doctor';
export { ExitCode, type ExitStatus } from './exit';
export type { Codec, DownloadState, Host, LoadOptions, MachineReport, Models, VoiceList } from './host';
export type { ProgressStream } from './progress';
export { run } from './run';
export { version } from './version';

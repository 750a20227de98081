/**
 * The `moshi` command as a function, and the tools it is made of: WAV files, resampling, files of Mimi codes.
 *
 * @packageDocumentation
 */
export { CodesError, type CodesFile, readCodes, writeCodes } from './codes';
export type { DoctorReport } from './commands/doctor';
export { ExitCode, type ExitStatus } from './exit';
export type { Codec, DownloadState, Host, LoadOptions, MachineReport, Models } from './host';
export type { ProgressStream } from './progress';
export { resample } from './resample';
export { run } from './run';
export { version } from './version';
export { readWav, type WavAudio, WavError } from './wav';
export { type WavEncoding, type WavOptions, writeWav } from './wav-writer';

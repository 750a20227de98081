import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError } from './errors';
import { type DeviceOptions, engineFiles, type LoadEngineOptions } from './load-engine';
import { addon, type NativeStreamQuality } from './native';
import { checkNumber, checkWhole } from './options';
import { decodeVoice } from './voices';
import { watched } from './watched';
import { WEIGHT_FORMS, type WeightForm } from './weights';

const RECORDINGS = ['.wav', '.flac', '.mp3', '.ogg', '.opus'];
const LIMITS = { fileBytes: 500e6, minSeconds: 0.4, maxSeconds: 3600, advice: 'cut it into pieces of some minutes' };

/** What {@link evaluate} may be told. */
export interface EvaluateOptions extends Omit<LoadEngineOptions, 'slots' | 'voices' | keyof DeviceOptions> {
  /** Recordings to which the model listens: a file, or a folder of WAV, FLAC, MP3, Ogg or Opus files. */
  audio: string;
  /** Form of the weights under test; `auto`, the one {@link loadEngine} would choose. */
  weights?: WeightForm | 'auto';
  /** What they are compared with: a form of the same model, or another model (a folder, `owner/name` on the hub); `stored`. */
  against?: string;
  /** Elements of the attention's memory under test: `f32`, `f16` or `q8`; the reference's are `f32`, the default. */
  kv?: 'f32' | 'f16' | 'q8';
  /** Frames of 80 ms to compare, of all recordings together, 1 to 5000; 500. */
  frames?: number;
  /** Called while it works, several times a second. */
  onEvaluation?: (progress: EvaluationProgress) => void;
}

/** How far an evaluation is, in frames: recordings are encoded, answered by the reference, then read by the model under test. */
export interface EvaluationProgress {
  stage: 'encoding' | 'reference' | 'tested';
  done: number;
  all: number;
}

/** How the draws of one stream of tokens compare; means, null when there is none. */
export interface StreamQuality extends NativeStreamQuality {}

/** How a model compares with its reference when both are given the same tokens. */
export interface QualityReport {
  model: string;
  /** What was tested. */
  weights: WeightForm;
  against: string;
  kv: 'f32' | 'f16' | 'q8';
  recordings: number;
  /** Frames compared. */
  frames: number;
  /** Cosine between the outputs of the temporal transformers, null when their widths differ. */
  hidden: number | null;
  text: StreamQuality;
  /** The part of `text` where the reference says something: padding is easy to agree on. */
  words: StreamQuality;
  /** By codebook, the first carries the words; none for models that only listen. */
  audio: StreamQuality[];
  /** Agreement of text, and the mean of all codebooks': what a threshold is held against. */
  agreement: { text: number | null; audio: number | null };
}

/**
 * Compares a model whose weights were converted, or trained further, with a reference. The reference answers the recordings, its
 * likeliest token each time; the model under test is led along the very same tokens, and at each the two distributions are compared.
 * One model is in memory at a time. Rejects `ENGINE_BAD_MODEL` when the two do not speak the same tokens.
 */
export async function evaluate(options: EvaluateOptions): Promise<QualityReport> {
  checkWhole('frames', options.frames, 1, 5000);
  checkWhole('threads', options.threads, 1, 256);
  checkNumber('loraScale', options.loraScale, -100, 100);
  const { weights = 'auto', against = 'stored', kv = 'f32', signal, onEvaluation } = options;
  const form = WEIGHT_FORMS.find((name) => name === against);
  const native = addon();
  const tested = await engineFiles(options);
  // Another model has adapters and voices of its own.
  const reference = form ? tested : await engineFiles({ ...options, model: against, lora: undefined });
  const recordings = await readRecordings(options.audio);
  const start = () =>
    native.evaluate(tested, reference, recordings, {
      threads: options.threads ?? 0,
      isa: options.isa ?? '',
      weights,
      referenceWeights: form ?? 'stored',
      kv,
      frames: options.frames ?? 500,
      loraScale: options.loraScale,
      expand: options.expand === true,
    });
  const quality = await watched(start, (progress) => onEvaluation?.(progress), signal);
  return {
    model: options.model ?? 'embedded',
    against,
    kv,
    recordings: recordings.length,
    ...quality,
    agreement: { text: quality.text.agreement, audio: mean(quality.audio.map(({ agreement }) => agreement)) },
  };
}

async function readRecordings(place: string): Promise<Float32Array[]> {
  const refuse = (why: string, cause?: unknown) =>
    new EngineError('ENGINE_BAD_OPTION', `audio ${place}: ${why}`, { cause });
  const found = await stat(place).catch((error) => {
    throw refuse('there is no such file or folder: check the path', error);
  });
  const heard = (name: string) => RECORDINGS.some((end) => name.toLowerCase().endsWith(end));
  const names = found.isDirectory() ? (await readdir(place)).filter(heard).sort() : [];
  if (found.isDirectory() && names.length === 0)
    throw refuse(`no recordings are in it: put ${RECORDINGS.join(', ')} files there`);
  const paths = found.isDirectory() ? names.map((name) => join(place, name)) : [place];
  const out: Float32Array[] = [];
  for (const path of paths) {
    try {
      out.push(await decodeVoice(path, LIMITS));
    } catch (error) {
      throw refuse((error as Error).message, error);
    }
  }
  return out;
}

function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}

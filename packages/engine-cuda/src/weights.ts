import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheRoot } from './default-model';
import { EngineError } from './errors';
import type { NativeAddon, NativeJob, NativeModelFiles } from './native';
import { watched } from './watched';

/** Forms a model's weights may be run in: as the file has them, or converted while it is loaded. */
export const WEIGHT_FORMS = ['stored', 'f16', 'bf16', 'q8', 'mixed', 'q4'] as const;
/** One of {@link WEIGHT_FORMS}. */
export type WeightForm = (typeof WEIGHT_FORMS)[number];

/** How far weights are quantized, in values. */
export interface QuantizeProgress {
  readonly done: number;
  readonly total: number;
}

/** What {@link watchedWeights} tells and obeys. */
export interface JobOptions {
  /** Called while weights are quantized, several times a second. */
  onQuantize?: (progress: QuantizeProgress) => void;
  signal?: AbortSignal;
}

/** Throws `ENGINE_BAD_OPTION` unless `value` is a form weights can be run in. */
export function checkWeights(value: WeightForm | 'auto' | undefined): void {
  const known: readonly string[] = ['auto', ...WEIGHT_FORMS];
  if (value === undefined || known.includes(value)) return;
  throw new EngineError('ENGINE_BAD_OPTION', `weights is ${String(value)}; it must be one of ${known.join(', ')}`);
}

/** Throws `ENGINE_BAD_OPTION` unless `value` is a type of element the attention's memory may have. */
export function checkKv(value: string | undefined): void {
  const known = ['auto', 'f32', 'f16', 'q8'];
  if (value === undefined || known.includes(value)) return;
  throw new EngineError('ENGINE_BAD_OPTION', `kv is ${String(value)}; it must be one of ${known.join(', ')}`);
}

/**
 * Makes the file of quantized weights that a model will be run from, unless it is there already, and returns the folders it is to be
 * looked for in: beside the model, or with what this package keeps where that cannot be written to. None when it could not be made
 * and the weights are to be quantized in memory.
 */
export async function cachedWeights(
  native: NativeAddon,
  files: NativeModelFiles,
  options: JobOptions & { weights: string; threads: number; isa: string; expand: boolean },
): Promise<string[]> {
  const cache = await weightsFolders(files.lm);
  const made = await watchedWeights(() => native.cacheWeights(files, { ...options, cache }), options);
  return made === '' ? [] : cache;
}

/** The result of native work on weights, {@link watched}; nothing is told while there is nothing to quantize. */
export function watchedWeights<T>(start: () => NativeJob<T>, { onQuantize, signal }: JobOptions): Promise<T> {
  return watched(start, (progress) => progress.total > 0 && onQuantize?.(progress), signal);
}

async function weightsFolders(lm: string): Promise<string[]> {
  const real = await realpath(lm).catch(() => lm);
  const name = createHash('sha256').update(real).digest('hex').slice(0, 16);
  return [join(dirname(lm), '.moshi'), join(cacheRoot(), 'weights', name)];
}

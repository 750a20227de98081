import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { EngineError } from './errors';
import { type ResolveOptions, resolveLm } from './hub';
import { explainDiskError } from './hub/errors';
import { addon } from './native';
import { checkWhole } from './options';
import { type JobOptions, watchedWeights } from './weights';

/**
 * What {@link quantizeCheckpoint} can make of weights. `q8`, `mixed` and `q4` give every layer the type its share in the quality bears:
 * q8_0 for all; q4_k for the feed-forward layers of the temporal transformer; q4_k for all of that. The others are ggml's, the same for
 * every layer.
 */
export const QUANTIZE_TYPES = ['q8', 'mixed', 'q4', 'q8_0', 'q4_0', 'q4_k', 'bf16', 'f16', 'f32'] as const;
/** One of {@link QUANTIZE_TYPES}. */
export type QuantizeType = (typeof QUANTIZE_TYPES)[number];

/** What {@link quantizeCheckpoint} may be told. */
export interface QuantizeOptions extends Omit<ResolveOptions, 'signal'>, JobOptions {
  type: QuantizeType;
  /** Threads, 1 to 256; left out: as many as suit this machine. */
  threads?: number;
}

/** What {@link quantizeCheckpoint} did. */
export interface QuantizeResult {
  /** Of the new file. */
  bytes: number;
  /** Layers that became something else than was asked for, in words. */
  notes: string[];
}

/**
 * Writes a language model's weights in another type, tensor by tensor. `model` is a folder, `owner/name` on the hub, or a file of
 * weights; `out` ends with `.gguf`, or with `.safetensors`: for `q8` the published int8 form. It appears when it is whole. Put beside
 * the other files of the model, in place of its weights or named by `moshi_name` in config.json, it is loaded like any.
 */
export async function quantizeCheckpoint(
  model: string,
  out: string,
  options: QuantizeOptions,
): Promise<QuantizeResult> {
  checkWhole('threads', options.threads, 1, 256);
  const target = resolve(out);
  const native = addon();
  const files = await resolveLm(model, options);
  if (files.loraWeights !== undefined)
    throw new EngineError(
      'ENGINE_BAD_MODEL',
      `${model} cannot be quantized: its weights are a LoRA adapter beside a model; quantize that model`,
    );
  const folder = await stat(dirname(target)).catch(() => undefined);
  if (!folder?.isDirectory())
    throw new EngineError('ENGINE_BAD_OPTION', `there is no folder ${dirname(target)}: make it first`);
  try {
    const names = { config: files.configPath ?? '', lm: files.lmWeights };
    const { type, threads = 0 } = options;
    const { notes } = await watchedWeights(
      () => native.quantizeWeights(names, target, { type, threads, isa: '' }),
      options,
    );
    return { bytes: (await stat(target)).size, notes };
  } catch (error) {
    throw explainDiskError(error, 'the new weights', dirname(target));
  }
}

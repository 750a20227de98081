import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, mkdir, readdir, realpath, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { EngineError, translatedAsync } from './errors';
import { type ModelFiles, type ResolveOptions, resolveModel } from './hub';
import { explainDiskError, systemCode } from './hub/errors';
import { addon } from './native';

type Config = Record<string, unknown>;

/** config.json of the published PersonaPlex, which says nothing about sizes: they are the original Moshi's. */
const PUBLISHED = { model_type: 'personaplex', version: '7b-v1' };
/** Keys that name files; the expanded model has the usual names. */
const NAME_KEYS = ['moshi_name', 'mimi_name', 'tokenizer_name', 'mimi_config_name', 'lora_name'];

/**
 * Writes a Moshi checkpoint (a folder, or `owner/name` on the hub) as one of PersonaPlex architecture, as NVIDIA's loader expands it:
 * the depth transformer's second half starts as a copy of its first. `folder` becomes a whole model, loadable by its path, that
 * shares unchanged files with the source where the disk can do that. Rejects `ENGINE_BAD_MODEL` for models that cannot be expanded and
 * `ENGINE_BAD_OPTION` when `folder` holds anything already; nothing is left behind then.
 */
export async function expandCheckpoint(model: string, folder: string, options: ResolveOptions = {}): Promise<void> {
  const target = resolve(folder);
  await checkTarget(target);
  const files = await resolveModel(model, options);
  const config = expandedConfig(model, files);
  const native = addon();
  const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
  try {
    await mkdir(temporary);
    await place(files.mimiWeights, join(temporary, mimiName(files)));
    await place(files.tokenizer, join(temporary, 'tokenizer_spm_32k_3.model'));
    if (files.mimiConfig) await place(files.mimiConfig, join(temporary, 'mimi_config.json'));
    await writeFile(join(temporary, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
    await translatedAsync(() => native.expandCheckpoint(files.lmWeights, join(temporary, 'model.safetensors')));
    options.signal?.throwIfAborted();
    await rmdir(target).catch(() => {});
    await rename(temporary, target);
  } catch (error) {
    throw explainDiskError(error, 'the expanded model', dirname(target));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function checkTarget(target: string): Promise<void> {
  const refuse = (why: string) => new EngineError('ENGINE_BAD_OPTION', `cannot write a model to ${target}: ${why}`);
  try {
    if ((await readdir(target)).length > 0) throw refuse('it holds files already: give the name of a new folder');
    return;
  } catch (error) {
    if (error instanceof EngineError) throw error;
    if (systemCode(error) === 'ENOTDIR') throw refuse('it is a file: give the name of a new folder');
    if (systemCode(error) !== 'ENOENT') throw refuse((error as Error).message);
  }
  const parent = await realpath(dirname(target)).catch(() => undefined);
  if (parent === undefined) throw refuse(`there is no folder ${dirname(target)}: make it first`);
}

function expandedConfig(model: string, files: ModelFiles): Config {
  const refuse = (why: string) => new EngineError('ENGINE_BAD_MODEL', `${model} cannot be expanded: ${why}`);
  const config = (files.config ?? {}) as Config;
  const sized = 'dim' in config;
  if (files.loraWeights !== undefined) throw refuse('its weights are a LoRA adapter beside a model; expand that model');
  if (extname(files.lmWeights) !== '.safetensors') throw refuse('only .safetensors weights can be, not GGUF');
  if (!sized && config.model_type === 'personaplex') throw refuse('it is a PersonaPlex model already: use it as it is');
  const { dep_q: generated, n_q: all } = config;
  if (sized && (typeof generated !== 'number' || typeof all !== 'number')) {
    throw refuse('its config.json has no dep_q and n_q');
  }
  if (sized && generated === all) throw refuse('it generates all codebooks already: use it as it is');
  if (sized && Number(generated) * 2 !== all) {
    throw refuse(`it generates ${generated} of ${all} codebooks; a Moshi model generates half of them`);
  }
  if (config.depformer_weights_per_step_schedule)
    throw refuse('its depth transformer shares weights between codebooks');
  const named = {
    ...(mimiName(files) !== MIMI && { mimi_name: mimiName(files) }),
    ...(files.mimiConfig && { mimi_config_name: 'mimi_config.json' }),
  };
  if (!sized) return { ...PUBLISHED, ...named };
  const kept = Object.entries(config).filter(([key]) => !NAME_KEYS.includes(key));
  return { ...Object.fromEntries(kept), ...PUBLISHED, dep_q: all, ...named };
}

const MIMI = 'tokenizer-e351c8d8-checkpoint125.safetensors';

function mimiName({ mimiWeights }: ModelFiles): string {
  return extname(mimiWeights) === '.safetensors' ? MIMI : `mimi${extname(mimiWeights)}`;
}

/** A file's content under another name: one file with two names where the disk can do that, else a copy. */
async function place(from: string, to: string): Promise<void> {
  const source = await realpath(from);
  try {
    await link(source, to);
  } catch {
    await copyFile(source, to, constants.COPYFILE_FICLONE);
  }
}

import { mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { lmConfig, lmTensors, MIMI_CONFIG, mimiTensors } from './checkpoint';
import { encodeSafetensors } from './safetensors';
import { encodeTokenizerModel } from './tokenizer-model';

/** Raised whenever the weights made here change, so that an old cache is not taken for the new model. */
const VERSION = 1;
const SEED = 8998;

/** Where things that can be made again are kept: `MOSHI_CACHE`, `XDG_CACHE_HOME/moshi` or `~/.cache/moshi`. */
export function cacheRoot(): string {
  if (process.env.MOSHI_CACHE) return process.env.MOSHI_CACHE;
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'moshi');
}

/** Writes the embedded model's files into an existing folder, in the published layout. */
export async function writeDefaultModel(folder: string): Promise<void> {
  const tokenizer = encodeTokenizerModel();
  const config = lmConfig(tokenizer.size);
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  await writeFile(join(folder, 'mimi_config.json'), `${JSON.stringify(MIMI_CONFIG, null, 2)}\n`);
  await writeFile(join(folder, 'tokenizer.model'), tokenizer.bytes);
  await writeFile(join(folder, 'mimi.safetensors'), encodeSafetensors(mimiTensors(SEED)));
  await writeFile(join(folder, 'model.safetensors'), encodeSafetensors(lmTensors(SEED + 100, config, tokenizer.words)));
}

/**
 * The folder of the embedded model, made on first use: the true architecture, small, with seeded random weights, so that
 * everything can be tried without a download. It has no training: what it says means nothing.
 */
export async function defaultModel(): Promise<string> {
  const root = cacheRoot();
  const folder = join(root, `untrained-v${VERSION}`);
  const exists = async () => (await stat(join(folder, 'config.json')).catch(() => undefined)) !== undefined;
  if (await exists()) return folder;
  await mkdir(root, { recursive: true });
  const temporary = await mkdtemp(join(root, 'making-'));
  try {
    await writeDefaultModel(temporary);
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Another process may have made it meanwhile.
    if (!(await exists())) throw error;
  }
  return folder;
}

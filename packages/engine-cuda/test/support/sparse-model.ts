import { mkdtemp, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Bytes of the weights of nvidia/personaplex-7b-v1. */
export const PERSONAPLEX_BYTES = 2 * 8_371_408_896;

/** A folder with the files of a published model, whose weights are of that size but all holes. */
export async function sparseModel(bytes = PERSONAPLEX_BYTES, config: object = { model_type: 'personaplex' }) {
  const folder = await mkdtemp(join(tmpdir(), 'moshi-sparse-'));
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  for (const name of ['tokenizer_spm_32k_3.model', 'tokenizer-e351c8d8-checkpoint125.safetensors']) {
    await writeFile(join(folder, name), '');
  }
  await writeFile(join(folder, 'model.safetensors'), '');
  await truncate(join(folder, 'model.safetensors'), bytes);
  return folder;
}

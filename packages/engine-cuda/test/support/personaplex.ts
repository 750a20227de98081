import { copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIMI_CONFIG, mimiTensors } from '../../src/default-model/checkpoint';
import { encodeSafetensors } from '../../src/default-model/safetensors';
import { fixture } from './audio';

/**
 * A model folder of the small PersonaPlex checkpoint with a codec that fits it, and its voices in `voices/`. Its golden context is 16,
 * which forgets the prompts before the first frame.
 */
export async function personaplexModel(context = 250): Promise<string> {
  const model = await mkdtemp(join(tmpdir(), 'moshi-personaplex-'));
  const source = fixture('lm-personaplex-tiny');
  await copyFile(join(fixture('sentencepiece'), 'tokenizer.model'), join(model, 'tokenizer.model'));
  const config = JSON.parse(await readFile(join(source, 'config.json'), 'utf8'));
  const names = {
    mimi_name: 'mimi.safetensors',
    mimi_config_name: 'mimi_config.json',
    tokenizer_name: 'tokenizer.model',
  };
  await writeFile(join(model, 'config.json'), JSON.stringify({ ...config, context, ...names }));
  await copyFile(join(source, 'model.safetensors'), join(model, 'model.safetensors'));
  // The golden codec has 64 entries a codebook, this language model speaks 2048.
  const codec = { ...MIMI_CONFIG, quantizer: { ...MIMI_CONFIG.quantizer, bins: 2048 } };
  await writeFile(join(model, 'mimi_config.json'), JSON.stringify(codec));
  await writeFile(join(model, 'mimi.safetensors'), encodeSafetensors(mimiTensors(1, codec)));
  await mkdir(join(model, 'voices'));
  for (const name of ['TINY0.pt', 'TINY0_bf16.pt']) {
    await copyFile(join(source, 'voices', name), join(model, 'voices', name));
  }
  await copyFile(join(source, 'voices', 'TINY0.wav'), join(model, 'voices', 'recorded.wav'));
  return model;
}

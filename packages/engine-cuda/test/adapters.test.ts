import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModel, type EngineFrame, expandCheckpoint, type LoadEngineOptions, loadEngine } from '../src';
import { MIMI_CONFIG, mimiTensors } from '../src/default-model/checkpoint';
import { encodeSafetensors } from '../src/default-model/safetensors';
import { fixture, speech } from './support/audio';

let folder: string;
let model: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-adapters-'));
  model = await mkdtemp(join(folder, 'base-'));
  const source = fixture('lm-lora-tiny');
  const { lora, ...config } = JSON.parse(await readFile(join(source, 'config.json'), 'utf8'));
  const names = { mimi_name: 'mimi.safetensors', mimi_config_name: 'mimi.json', tokenizer_name: 'tokenizer.model' };
  await writeFile(join(model, 'config.json'), JSON.stringify({ ...config, lora_name: null, ...names }));
  for (const name of ['model.safetensors', 'lora.safetensors', 'lora_fused_names.safetensors']) {
    await copyFile(join(source, name), join(model, name));
  }
  const codec = { ...MIMI_CONFIG, quantizer: { ...MIMI_CONFIG.quantizer, bins: config.card } };
  await writeFile(join(model, 'mimi.json'), JSON.stringify(codec));
  await writeFile(join(model, 'mimi.safetensors'), encodeSafetensors(mimiTensors(1, codec)));
  await copyFile(join(fixture('sentencepiece'), 'tokenizer.model'), join(model, 'tokenizer.model'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Tokens and some samples of a greedy conversation. */
async function talk(options: LoadEngineOptions): Promise<string> {
  const engine = await loadEngine({ model, ...options });
  try {
    const session = await engine.open({ textTemperature: 0, audioTemperature: 0 });
    const frames: EngineFrame[] = [];
    await new Promise<void>((resolve, reject) => {
      session.on('frame', (frame) => frames.push(frame) === 12 && resolve());
      session.on('error', reject);
      session.push(speech(12));
    });
    return frames.map(({ token, pcm }) => `${token}:${pcm?.slice(0, 8).join()}`).join('\n');
  } finally {
    await engine.close();
  }
}

describe('a LoRA adapter', () => {
  it('changes what the model says, as strongly as asked, in either form of its names', async () => {
    const base = await talk({});
    const adapted = await talk({ lora: 'lora.safetensors' });
    expect(adapted).not.toBe(base);
    expect(await talk({ lora: join(model, 'lora_fused_names.safetensors') })).toBe(adapted);
    expect(await talk({ lora: 'lora.safetensors', loraScale: 2 })).toBe(adapted);
    expect(await talk({ lora: 'lora.safetensors', loraScale: 0 })).toBe(base);
  });

  it('that does not belong to the model is refused by name', async () => {
    await expect(loadEngine({ lora: join(model, 'lora.safetensors') })).rejects.toThrow(/lora/i);
    await expect(loadEngine({ model, lora: 'model.safetensors' })).rejects.toThrow(/model\.safetensors/);
    await expect(loadEngine({ model, lora: 'nothing.safetensors' })).rejects.toThrow(/nothing\.safetensors/);
    await expect(loadEngine({ model, loraScale: Number.NaN })).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
  });
});

describe('expansion', () => {
  it('at load and to a folder give the same PersonaPlex model', async () => {
    const moshi = await defaultModel();
    const out = join(folder, 'expanded');
    await expandCheckpoint(moshi, out);
    const [loaded, written] = [await loadEngine({ model: moshi, expand: true }), await loadEngine({ model: out })];
    expect([loaded.info.dialect, written.info.dialect]).toEqual(['personaplex', 'personaplex']);
    await Promise.all([loaded.close(), written.close()]);
    expect(await talk({ model: moshi, expand: true })).toBe(await talk({ model: out }));
  });
});

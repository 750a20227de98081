import { rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Engine, type EngineFrame, type EngineSessionOptions, loadEngine, loadMimi } from '../src';
import { writeVoice } from '../src/voices';
import { speech } from './support/audio';
import { personaplexModel } from './support/personaplex';

let model: string;
let engine: Engine;
beforeAll(async () => {
  model = await personaplexModel();
  engine = await loadEngine({ model, slots: 3 });
});
afterAll(async () => {
  await engine.close();
  await rm(model, { recursive: true, force: true });
});

/** What a conversation of `speech(8)` gives: all samples, as one text to compare. */
async function talk(options: EngineSessionOptions, on: Engine = engine): Promise<string> {
  const session = await on.open({ seed: 3, ...options });
  const frames: EngineFrame[] = [];
  await new Promise<void>((resolve, reject) => {
    session.on('frame', (frame) => frames.push(frame) === 8 && resolve());
    session.on('error', reject);
    session.push(speech(8));
  });
  await session.close();
  return frames.map(({ token, pcm }) => `${token}:${pcm?.slice(0, 20).join()}`).join('\n');
}

describe('personas', () => {
  it('lists the voices of the model, and takes them with or without extension', async () => {
    expect(await engine.voices()).toEqual([{ name: 'TINY0' }, { name: 'TINY0_bf16' }, { name: 'recorded' }]);
    const plain = await talk({});
    const voiced = await talk({ voice: 'TINY0' });
    expect(voiced).not.toBe(plain);
    expect(await talk({ voice: 'TINY0.pt' })).toBe(voiced);
    expect(await talk({ voice: '', prompt: '' })).toBe(plain);
  });

  it('reads recordings and voices made from them, which are the same', async () => {
    const recorded = await talk({ voice: 'recorded' });
    expect(recorded).not.toBe(await talk({}));
    const mimi = await loadMimi({ model });
    const { decodeVoice } = await import('../src/voices');
    const codes = await mimi.voiceCodes(await decodeVoice(join(model, 'voices', 'recorded.wav')));
    await writeVoice(join(model, 'voices', 'made.safetensors'), codes, codes.length / 8);
    mimi.close();
    expect(await talk({ voice: 'made' })).toBe(recorded);
  });

  it('are read anew or copied from the last caller, with the same conversation after it', async () => {
    const persona = { voice: 'TINY0', prompt: 'You are a patient guide.' };
    const first = await talk(persona);
    expect(await talk(persona)).toBe(first);
    const fresh = await loadEngine({ model });
    expect(await talk(persona, fresh)).toBe(first);
    const session = await fresh.open({ seed: 3, ...persona });
    session.push(speech(3));
    await session.reset();
    await session.close();
    expect(await talk(persona, fresh)).toBe(first);
    await fresh.close();
  });

  it('never mix: callers at once get what each gets alone', async () => {
    const personas: EngineSessionOptions[] = [
      { voice: 'TINY0', prompt: 'You are a patient guide.' },
      { voice: 'recorded', prompt: 'You sell shoes.' },
      { prompt: 'You are a patient guide.' },
    ];
    const fresh = await loadEngine({ model, slots: 3 });
    const together = await Promise.all(personas.map((persona) => talk(persona, fresh)));
    expect(new Set(together).size).toBe(3);
    for (const [i, persona] of personas.entries()) expect(await talk(persona)).toBe(together[i]);
    await fresh.close();
  });

  it('refuses voices that are not there, naming those that are', async () => {
    for (const voice of ['NATF9', '../voices/TINY0', '/etc/passwd', 'TINY0\0.pt', '..', 'voices/TINY0']) {
      await expect(engine.open({ voice })).rejects.toMatchObject({
        code: 'ENGINE_BAD_OPTION',
        message: expect.stringMatching(/there is no voice .* TINY0, TINY0_bf16/),
      });
    }
  });

  it('refuses voices that are broken, hostile or of another model by name, and goes on', async () => {
    const folder = join(model, 'voices');
    await writeFile(join(folder, 'broken.pt'), 'PK\x03\x04 and no more');
    await writeFile(join(folder, 'empty.wav'), '');
    await writeFile(join(folder, 'silent.wav'), silence(24_000));
    // pickle.dumps of a call of os.system, in the layout of old torch files.
    await writeFile(join(folder, 'evil.pt'), Buffer.from('\x80\x02cos\nsystem\n(U\x09echo pwndtR.', 'latin1'));
    await symlink('/etc/hostname', join(folder, 'stray.wav'));
    const messages: string[] = [];
    for (const voice of ['broken', 'empty', 'silent', 'evil', 'stray']) {
      const refused = await engine.open({ voice }).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: 'ENGINE_BAD_OPTION' });
      messages.push((refused as Error).message);
    }
    for (const message of messages.slice(0, 4)) expect(message).not.toContain(model);
    expect(messages[2]).toMatch(/silent/);
    expect(messages[3]).toMatch(/os.system/);
    expect(messages[4]).toMatch(/leaves/);
    await talk({ voice: 'TINY0' });
  });

  it('says that a prompt is too long', async () => {
    await expect(engine.open({ prompt: 'word '.repeat(20_000) })).rejects.toMatchObject({
      code: 'ENGINE_BAD_OPTION',
      message: expect.stringMatching(/shorten them to 2900/),
    });
    await talk({});
  });
});

/** A WAV file of zeros, 24 kHz mono. */
function silence(samples: number): Buffer {
  const wav = Buffer.alloc(44 + 2 * samples);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(36 + 2 * samples, 4);
  wav.write('WAVEfmt ', 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(24_000, 24);
  wav.writeUInt32LE(48_000, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36);
  wav.writeUInt32LE(2 * samples, 40);
  return wav;
}

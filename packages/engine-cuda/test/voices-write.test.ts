import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { voiceLibrary, writeVoice } from '../src/voices';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-made-'));
  path = join(folder, 'mine.safetensors');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const codes = (frames: number, first = 0) => Int32Array.from({ length: 8 * frames }, (_, i) => (first + i * 7) % 2048);

describe('writeVoice', () => {
  it('stores a voice as safetensors, which a library finds', async () => {
    await writeVoice(path, codes(5), 5);
    const bytes = await readFile(path);
    const length = Number(bytes.readBigUInt64LE(0));
    expect(length % 8).toBe(0);
    expect(JSON.parse(bytes.toString('utf8', 8, 8 + length))).toEqual({
      __metadata__: { format: 'moshi-voice', version: '1' },
      codes: { dtype: 'I32', shape: [8, 5], data_offsets: [0, 160] },
    });
    expect(bytes).toHaveLength(8 + length + 160);
    expect(Array.from({ length: 40 }, (_, i) => bytes.readInt32LE(8 + length + 4 * i))).toEqual([...codes(5)]);
    expect((await voiceLibrary({ voices: folder }).find('mine')).path).toBe(path);
    expect(await readdir(folder)).toEqual(['mine.safetensors']);
  });

  it('replaces a voice, but nothing else', async () => {
    await writeVoice(path, codes(5), 5);
    await writeVoice(path, codes(2, 9), 2);
    expect((await readFile(path)).readInt32LE((await readFile(path)).length - 64)).toBe(9);
    const header = JSON.stringify({ weight: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } });
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(header.length));
    const model = Buffer.concat([size, Buffer.from(header), Buffer.alloc(4)]);
    for (const other of [
      model,
      Buffer.from('text'),
      Buffer.alloc(0),
      Buffer.alloc(100, 0xff),
      Buffer.from('\x04\0\0\0\0\0\0\0null'),
    ]) {
      await writeFile(path, other);
      await expect(writeVoice(path, codes(2), 2)).rejects.toMatchObject({
        code: 'ENGINE_BAD_OPTION',
        message: expect.stringMatching(/what is there is no voice: give another name/),
      });
      expect(await readFile(path)).toEqual(other);
    }
    expect(await readdir(folder)).toEqual(['mine.safetensors']);
  });

  it('refuses names and codes that cannot be', async () => {
    await expect(writeVoice(join(folder, 'mine.pt'), codes(1), 1)).rejects.toThrow(/ends in \.safetensors/);
    await expect(writeVoice(join(folder, '.safetensors'), codes(1), 1)).rejects.toThrow(/ends in \.safetensors/);
    await expect(writeVoice(join(folder, 'no', 'a.safetensors'), codes(1), 1)).rejects.toThrow(/make it first/);
    await expect(writeVoice(folder, codes(1), 1)).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    for (const frames of [0, 2, 1.5, -1, Number.NaN]) {
      await expect(writeVoice(path, codes(1), frames)).rejects.toThrow(/are not 8 codebooks of/);
    }
    await expect(writeVoice(path, codes(1).fill(-1), 1)).rejects.toThrow(/the code -1/);
    expect(await readdir(folder)).toEqual([]);
  });
});

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkVoiceOutput, decodeVoice, EngineError, voiceLibrary, writeVoice } from '@moshi/engine-cuda';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeWav } from '../src/index';
import { fakeModels, meanCodec, moshi } from './support/command';

let folder: string;
const at = (name: string) => join(folder, name);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-cli-'));
  await writeFile(at('in.wav'), writeWav(Float32Array.from({ length: 24_000 }, (_, i) => 0.5 * Math.sin(i / 9))));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** All of the real thing but the codec. */
const real = { checkVoiceOutput, decodeVoice, voiceLibrary, writeVoice };

describe('moshi voice make', () => {
  it('stores the codes of a recording, as a voice that a folder of voices offers', async () => {
    let heard: Float32Array | undefined;
    let asked: object | undefined;
    const codec = meanCodec();
    codec.voiceCodes = async (pcm) => {
      heard = pcm;
      return new Int32Array(8 * 13).fill(5);
    };
    const loadMimi = async ({ signal: _, onProgress: __, ...choice }: object & Record<string, unknown>) => {
      asked = choice;
      return codec;
    };
    const models = async () => fakeModels({ ...real, loadMimi });
    const argv = ['voice', 'make', at('in.wav'), at('me.safetensors'), '--model', 'a/b', '--threads', '2'];
    const { status, stdout, stderr } = await moshi(argv, { models });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toBe(`${at('me.safetensors')}: a voice of 1 s, 13 frames.\n`);
    expect(asked).toEqual({ model: 'a/b', threads: 2 });
    expect(heard).toHaveLength(24_000);
    expect(Math.max(...heard!)).toBeCloseTo(0.5, 2);
    expect(codec.closed).toBe(true);
    expect((await readFile(at('me.safetensors'))).toString('latin1')).toContain('"format":"moshi-voice"');
    const listed = await moshi(['voice', 'list', '--voices', folder], { models });
    expect(listed).toEqual({ status: 0, stdout: 'in\nme\n', stderr: '' });
    const json = await moshi([...argv.slice(0, 4), '--json'], { models });
    expect(JSON.parse(json.stdout)).toEqual({
      input: at('in.wav'),
      output: at('me.safetensors'),
      seconds: 1,
      frames: 13,
    });
  });

  it('says that a voice of the untrained model is for that one alone', async () => {
    const { stdout } = await moshi(['voice', 'make', at('in.wav'), at('me.safetensors')]);
    expect(stdout).toMatch(/a voice of 2 s, 25 frames\.\nIt is a voice for the small untrained model: give --model/);
  });

  it('fails with 2 for an output that cannot be, before any work', async () => {
    await writeFile(at('model.safetensors'), 'precious');
    let worked = 0;
    const decode = async () => {
      worked++;
      return new Float32Array(1);
    };
    const models = async () => fakeModels({ ...real, decodeVoice: decode, loadMimi: decode as never });
    for (const name of ['me.pt', 'no/me.safetensors', 'model.safetensors']) {
      const { status, stdout, stderr } = await moshi(['voice', 'make', at('in.wav'), at(name)], { models });
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(/^moshi: cannot store a voice as .+\n$/);
    }
    expect(worked).toBe(0);
    expect(await readFile(at('model.safetensors'), 'utf8')).toBe('precious');
  });

  it('fails with 3 for a bad recording, 5 for a bad model, 1 when the codec fails; nothing is left', async () => {
    await writeFile(at('text.mp3'), 'text');
    const run = async (input: string, changes: object = {}) =>
      moshi(['voice', 'make', at(input), at('out.safetensors')], {
        models: async () => fakeModels({ ...real, ...changes }),
      });
    expect(await run('text.mp3')).toMatchObject({
      status: 3,
      stderr: expect.stringMatching(/^moshi: "text\.mp3" .+\n$/),
    });
    expect(await run('none.mp3')).toMatchObject({ status: 3, stderr: expect.stringContaining('no such file') });
    const broken = async () => {
      throw new EngineError('ENGINE_BAD_MODEL', 'no codec in there');
    };
    expect(await run('in.wav', { loadMimi: broken })).toMatchObject({ status: 5 });
    const codec = meanCodec();
    codec.voiceCodes = async () => {
      throw new Error('out of luck');
    };
    const failed = await run('in.wav', { loadMimi: async () => codec });
    expect(failed).toEqual({ status: 1, stdout: '', stderr: 'moshi: out of luck\n' });
    expect(codec.closed).toBe(true);
    expect((await readdir(folder)).sort()).toEqual(['in.wav', 'text.mp3']);
  });
});

describe('moshi voice list', () => {
  it('lists by name, also as JSON', async () => {
    let asked: Record<string, unknown> = {};
    const models = async () =>
      fakeModels({
        voiceLibrary: (options) => {
          asked = { ...options };
          return { list: async () => [{ name: 'A' }, { name: 'B' }] };
        },
      });
    const argv = ['voice', 'list', '--model', 'a/b', '--voices', 'x'];
    expect(await moshi(argv, { models })).toEqual({ status: 0, stdout: 'A\nB\n', stderr: '' });
    expect(asked).toMatchObject({ model: 'a/b', voices: 'x' });
    const { stdout } = await moshi([...argv, '--json'], { models });
    expect(JSON.parse(stdout)).toEqual({ voices: [{ name: 'A' }, { name: 'B' }] });
  });

  it('tells what is missing', async () => {
    const models = async () => fakeModels(real);
    expect(await moshi(['voice', 'list'], { models })).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/give --model/),
    });
    const nowhere = await moshi(['voice', 'list', '--voices', at('nowhere')], { models });
    expect(nowhere).toMatchObject({ status: 2, stderr: expect.stringContaining('there are no voices at') });
    await mkdir(at('empty'));
    expect(await moshi(['voice', 'list', '--voices', at('empty')], { models })).toEqual({
      status: 0,
      stdout: '',
      stderr: 'moshi: no voices there; make one with: moshi voice make\n',
    });
    const offline = async () =>
      fakeModels({ voiceLibrary: () => ({ list: () => Promise.reject(new Error('offline')) }) });
    expect(await moshi(['voice', 'list', '--model', 'a/b'], { models: offline })).toMatchObject({ status: 5 });
  });

  it('shows its help without a subcommand', async () => {
    const { status, stdout, stderr } = await moshi(['voice']);
    expect(status).toBe(2);
    expect(stdout + stderr).toContain('make');
    expect((await moshi(['voice', 'mkae', 'a', 'b'])).stderr).toMatch(
      /unknown command 'mkae'.*See: moshi voice --help/,
    );
    for (const name of ['make', 'list']) {
      expect((await moshi(['voice', name, '--help'])).stdout).toContain(`$ moshi voice ${name}`);
    }
  });
});

describe('moshi expand', () => {
  it('hands the work on, and its failures', async () => {
    const seen: unknown[] = [];
    const expandCheckpoint = async (model: string, out: string) => void seen.push([model, out]);
    const argv = ['expand', 'kyutai/moshiko-pytorch-bf16', at('out')];
    const { status, stdout } = await moshi(argv, { models: async () => fakeModels({ expandCheckpoint }) });
    expect(status).toBe(0);
    expect(stdout).toContain(`Use it with: --model ${at('out')}`);
    expect(seen).toEqual([argv.slice(1)]);
    expect(JSON.parse((await moshi([...argv, '--json'])).stdout)).toEqual({ input: argv[1], output: at('out') });
    for (const [code, expected] of [
      ['ENGINE_BAD_OPTION', 2],
      ['ENGINE_BAD_MODEL', 5],
    ] as const) {
      const fail = () => Promise.reject(new EngineError(code, 'it cannot be'));
      const failed = await moshi(argv, { models: async () => fakeModels({ expandCheckpoint: fail }) });
      expect(failed).toEqual({ status: expected, stdout: '', stderr: 'moshi: it cannot be\n' });
    }
  });
});

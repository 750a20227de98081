import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { fakeModels, moshi } from './support/command';

const ARGV = ['quantize', 'kyutai/moshiko-pytorch-bf16', 'out.gguf', '--type', 'q4'];

describe('moshi quantize', () => {
  it('hands the work on and tells what became of it', async () => {
    const seen: unknown[] = [];
    const notes = ['a: x', 'b: x', 'c: x', 'd: x'];
    const quantizeCheckpoint = async (model: string, out: string, { type, threads }: Record<string, unknown>) => {
      seen.push([model, out, type, threads]);
      return { bytes: 4_560_000_000, notes: notes.slice(seen.length - 1) };
    };
    const models = async () => fakeModels({ quantizeCheckpoint });
    expect(await moshi([...ARGV, '--threads', '3'], { models })).toEqual({
      status: 0,
      stdout: 'out.gguf: 4.56 GB of q4\n',
      stderr: 'moshi: a: x\nmoshi: b: x\nmoshi: c: x\nmoshi: and so on, 4 in all\n',
    });
    expect(seen).toEqual([['kyutai/moshiko-pytorch-bf16', 'out.gguf', 'q4', 3]]);
    expect((await moshi(ARGV, { models })).stderr).toBe('moshi: b: x\nmoshi: c: x\nmoshi: d: x\n');
    const { stdout, stderr } = await moshi([...ARGV, '--json'], { models });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      input: 'kyutai/moshiko-pytorch-bf16',
      output: 'out.gguf',
      type: 'q4',
      bytes: 4_560_000_000,
      notes: ['c: x', 'd: x'],
    });
  });

  it.each([
    ['ENGINE_BAD_OPTION', 2],
    ['ENGINE_BAD_FILE', 5],
  ] as const)('ends with the status of %s', async (code, status) => {
    const quantizeCheckpoint = () => Promise.reject(Object.assign(new Error('it cannot be'), { code }));
    const failed = await moshi(ARGV, { models: async () => fakeModels({ quantizeCheckpoint }) });
    expect(failed).toEqual({ status, stdout: '', stderr: 'moshi: it cannot be\n' });
  });

  it('draws how far it is', async () => {
    let drawn = '';
    const write = (text: string) => {
      drawn += text;
    };
    const stderr = { isTTY: true, columns: 100, write };
    const quantizeCheckpoint: ReturnType<typeof fakeModels>['quantizeCheckpoint'] = async (_, __, options) => {
      options.onQuantize?.({ done: 50, total: 100 });
      return { bytes: 1e9, notes: [] };
    };
    await moshi(ARGV, { stderr, models: async () => fakeModels({ quantizeCheckpoint }) });
    expect(drawn).toContain('quantizing');
    expect(drawn).toContain('50%');
  });
});

describe('--weights', () => {
  it.each([
    ['serve', ['serve', '--port', '0', '--weights', 'q4']],
    ['converse', ['converse', 'none.wav', 'out.wav', '--weights', 'q4']],
  ])('of %s reaches the engine', async (name, argv) => {
    let asked: unknown;
    const interrupt = new AbortController();
    const loadEngine: ReturnType<typeof fakeModels>['loadEngine'] = async ({ weights }) => {
      asked = weights;
      interrupt.abort();
      return loopbackEngine();
    };
    await moshi(argv, { signal: interrupt.signal, models: async () => fakeModels({ loadEngine }) });
    // A conversation needs its recording before a model.
    expect(asked).toBe(name === 'serve' ? 'q4' : undefined);
  });

  it('is one of those there are', async () => {
    expect((await moshi(['serve', '--weights', 'q5'])).stderr).toMatch(/auto, stored, f16, bf16, q8, mixed, q4/);
  });
});

import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeWav } from '@moshi/protocol/audio';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModel, type EvaluationProgress, evaluate, type StreamQuality, WEIGHT_FORMS } from '../src';
import { speech } from './support/audio';
import { personaplexModel } from './support/personaplex';

let folder: string;
let audio: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-evaluate-'));
  audio = join(folder, 'audio');
  await mkdir(audio);
  await writeFile(join(audio, 'first.wav'), writeWav(speech(60)));
  await writeFile(join(audio, 'second.WAV'), writeWav(speech(20)));
  await writeFile(join(audio, 'notes.txt'), 'no recording');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const equal = (stream: StreamQuality) => stream.agreement === 1 && stream.divergence === 0 && stream.rank === 1;
const divergence = (streams: StreamQuality[]) =>
  streams.reduce((sum, stream) => sum + stream.divergence!, 0) / streams.length;

describe('evaluate', () => {
  it('finds a model equal to itself', async () => {
    const progress: EvaluationProgress[] = [];
    const report = await evaluate({ audio, frames: 50, onEvaluation: (now) => progress.push(now) });
    expect(report).toMatchObject({ model: 'embedded', weights: 'stored', against: 'stored', kv: 'f32', recordings: 2 });
    expect(report.frames).toBeGreaterThan(40);
    expect(report.frames).toBeLessThan(50);
    expect(report.hidden).toBeCloseTo(1, 9);
    expect(report.audio).toHaveLength(8);
    for (const stream of [report.text, ...report.audio]) {
      expect(equal(stream)).toBe(true);
      expect(stream.draws).toBe(report.frames);
      expect(stream.perplexity).toBe(stream.referencePerplexity);
    }
    expect(report.words.draws).toBeLessThanOrEqual(report.frames);
    expect(report.agreement).toEqual({ text: 1, audio: 1 });
    expect(progress.at(-1)).toEqual({ stage: 'tested', done: 50, all: 50 });
  });

  it('tells how much worse fewer bits are, the same way on any number of threads', async () => {
    const [q8, mixed, q4, again] = await Promise.all(
      (['q8', 'mixed', 'q4', 'q4'] as const).map((weights, i) => evaluate({ audio, weights, threads: 1 + (i % 2) })),
    );
    expect(q8!.weights).toBe('q8');
    expect(divergence(q8!.audio)).toBeGreaterThan(0);
    expect(divergence(mixed!.audio)).toBeGreaterThan(divergence(q8!.audio));
    expect(divergence(q4!.audio)).toBeGreaterThan(divergence(mixed!.audio));
    expect(q4!.hidden).toBeLessThan(q8!.hidden!);
    expect(q4!.agreement.audio).toBeLessThan(1);
    expect(again).toEqual(q4);
  });

  it('tells what 8 bits in the memory of attention cost, and what stored as bf16 costs: nothing', async () => {
    expect(divergence((await evaluate({ audio, kv: 'q8' })).audio)).toBeGreaterThan(0);
    expect(equal((await evaluate({ audio, weights: 'bf16', against: 'stored' })).text)).toBe(true);
  });

  it('compares a PersonaPlex model with another of its kind', async () => {
    const model = await personaplexModel();
    const other = await personaplexModel();
    const path = join(other, 'model.safetensors');
    const weights = await readFile(path);
    // A little noise in the last bits of everything: the other training.
    const start = 8 + Number(weights.readBigUInt64LE(0));
    for (let i = start; i + 1 < weights.length; i += 2) weights[i] = weights[i]! ^ (i % 16);
    await writeFile(path, weights);
    const report = await evaluate({ model, against: other, audio: join(audio, 'first.wav') });
    expect(report).toMatchObject({ model, against: other, recordings: 1 });
    expect(report.audio).toHaveLength(8);
    expect(report.words.draws).toBeGreaterThan(0);
    expect(report.agreement.audio).toBeLessThan(1);
    expect(equal((await evaluate({ model, against: model, audio })).text)).toBe(true);
    await rm(model, { recursive: true });
    await rm(other, { recursive: true });
  });

  it('refuses what cannot be compared, in a line', async () => {
    await expect(evaluate({ audio: join(folder, 'nowhere') })).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    await expect(evaluate({ audio: join(folder, 'nowhere') })).rejects.toThrow(/no such file/);
    await mkdir(join(folder, 'empty'));
    await expect(evaluate({ audio: join(folder, 'empty') })).rejects.toThrow(/no recordings are in it/);
    const broken = join(folder, 'broken.wav');
    await writeFile(broken, 'no sound');
    await expect(evaluate({ audio: broken })).rejects.toThrow(/^audio .*broken.wav: .*it is no WAV/);
    await expect(evaluate({ audio, frames: 0 })).rejects.toThrow(/frames is 0/);
    await expect(evaluate({ audio, weights: 'q5' as 'q4' })).rejects.toThrow(/none of stored/);
    await expect(evaluate({ audio, kv: 'q4' as 'q8' })).rejects.toThrow(/none of f32/);
    await expect(evaluate({ audio, frames: 1 })).rejects.toThrow(/shorter than the model's delay/);
    const model = await personaplexModel();
    await expect(evaluate({ audio, against: model })).rejects.toMatchObject({
      code: 'ENGINE_BAD_MODEL',
      message: expect.stringContaining('do not speak the same tokens'),
    });
    await rm(model, { recursive: true });
  });

  it('stops when its signal says so', async () => {
    const stop = new AbortController();
    const running = evaluate({ audio, frames: 80, signal: stop.signal, onEvaluation: () => stop.abort() });
    await expect(running).rejects.toThrow();
    await expect(evaluate({ audio, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  it('knows the forms the engine knows', async () => {
    const model = await mkdtemp(join(folder, 'model-'));
    for (const name of ['config.json', 'model.safetensors', 'mimi.safetensors', 'mimi_config.json', 'tokenizer.model'])
      await copyFile(join(await defaultModel(), name), join(model, name));
    for (const weights of WEIGHT_FORMS) {
      expect((await evaluate({ model, audio, weights, against: weights, frames: 10 })).weights).toBe(weights);
    }
  });
});

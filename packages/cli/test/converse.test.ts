import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from '@moshi/server';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readWav, resample, writeWav } from '../src/index';
import { fakeModels, moshi } from './support/command';
import { seeded } from './support/random';
import { scriptedEngine } from './support/scripted-engine';

let folder: string;
let input: string;
let output: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-cli-'));
  input = join(folder, 'in.wav');
  output = join(folder, 'out.wav');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Bursts of a voice-like sound with pauses between, at any rate. */
function speech(seconds: number, rate: number): Float32Array {
  const random = seeded(11);
  const bursts = Array.from({ length: Math.ceil(seconds * 4) }, () => (random(3) === 0 ? 0 : 0.1 + random(40) / 100));
  return Float32Array.from({ length: Math.round(seconds * rate) }, (_, i) => {
    const time = i / rate;
    const within = (time * 4) % 1;
    const pitch = 140 + 20 * Math.sin(time * 3);
    const tone = Math.sin(2 * Math.PI * pitch * time) + 0.5 * Math.sin(4 * Math.PI * pitch * time);
    return bursts[Math.floor(time * 4)]! * 0.6 * Math.sin(Math.PI * within) * tone;
  });
}

/** Loudness in steps of 20 ms. */
function envelope(pcm: Float32Array): number[] {
  return Array.from({ length: Math.floor(pcm.length / 480) }, (_, i) =>
    Math.sqrt(pcm.subarray(i * 480, (i + 1) * 480).reduce((sum, sample) => sum + sample * sample, 0) / 480),
  );
}

function correlation(a: ArrayLike<number>, b: ArrayLike<number>, shift = 0): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = Math.max(0, -shift); i < Math.min(a.length, b.length - shift); i++) {
    ab += a[i]! * b[i + shift]!;
    aa += a[i]! ** 2;
    bb += b[i + shift]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

/** How many samples `b` lies behind `a`, as far as their likeness tells. */
function lag(a: Float32Array, b: Float32Array, range: number, step: number): number {
  let best = { shift: 0, likeness: Number.NEGATIVE_INFINITY };
  for (let shift = -range; shift <= range; shift += step) {
    const likeness = correlation(a, b, shift);
    if (likeness > best.likeness) best = { shift, likeness };
  }
  return best.shift;
}

describe('moshi converse', () => {
  it('takes one slot of the GPUs it is given', async () => {
    await writeFile(input, writeWav(speech(0.2, 24_000)));
    const asked: object[] = [];
    const models = async () =>
      fakeModels({
        loadEngine: async (options) => {
          asked.push(options);
          return scriptedEngine();
        },
      });
    expect((await moshi(['converse', input, output, '--gpu', '1'], { models })).status).toBe(0);
    expect(asked).toMatchObject([{ slots: 1, gpu: 1 }]);
    const refused = await moshi(['converse', input, output, '--url', 'ws://localhost:1', '--gpu', 'off'], { models });
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('--gpu') });
  });

  it('echoes a recording through a server of its own, aligned in time', async () => {
    const original = speech(3.01, 24_000);
    await writeFile(input, writeWav(original));
    const { status, stdout, stderr } = await moshi(['converse', input, output, '--engine', 'loopback']);
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toMatch(/out\.wav: 3\.01 s in .* times real time\), model loopback, seed \d+\nno words\n/);
    const wav = readWav(await readFile(output));
    expect(wav).toMatchObject({ sampleRate: 24_000, channels: 1, bits: 16, format: 'pcm' });
    expect(wav.pcm).toHaveLength(original.length);
    expect(correlation(envelope(original), envelope(wav.pcm))).toBeGreaterThan(0.97);
    // The very samples lie where they were, within a millisecond.
    expect(Math.abs(lag(original, wav.pcm, 400, 4))).toBeLessThanOrEqual(24);
  });

  it('takes a stereo float file of another rate, and a tail', async () => {
    const original = speech(2, 44_100);
    await writeFile(
      input,
      writeWav([original, original], { sampleRate: 44_100, encoding: 'float32', extensible: true }),
    );
    const { status, stdout } = await moshi([
      'converse',
      input,
      output,
      '--engine',
      'loopback',
      '--tail',
      '0.5',
      '--json',
    ]);
    expect(status).toBe(0);
    const wav = readWav(await readFile(output));
    expect(wav.pcm).toHaveLength(60_000);
    expect(correlation(envelope(resample(original, 44_100, 24_000)), envelope(wav.pcm))).toBeGreaterThan(0.95);
    const summary = JSON.parse(stdout);
    expect(summary).toMatchObject({
      input,
      output,
      seconds: 2.5,
      frames: 32,
      model: 'loopback',
      trained: true,
      text: '',
    });
    expect(summary.metrics.audioReceivedSeconds).toBeGreaterThanOrEqual(2.5);
  });

  it('keeps the last milliseconds, which the codec holds back', async () => {
    await writeFile(input, writeWav(Float32Array.from({ length: 19_200 }, (_, i) => 0.5 * Math.sin(i * 0.15))));
    expect((await moshi(['converse', input, output, '--engine', 'loopback'])).status).toBe(0);
    const end = readWav(await readFile(output)).pcm.subarray(-240);
    expect(Math.max(...end)).toBeGreaterThan(0.2);
  });

  it.each([0, 1, 2])('evens out a model that begins %i steps late, in sound and in text', async (delay) => {
    const original = speech(3, 24_000);
    await writeFile(input, writeWav(original));
    const transcriptFile = join(folder, 'out.json');
    const text = { 10: ' Hel', 11: 'lo', 20: ' you' };
    const models = async () => fakeModels({ loadEngine: async () => scriptedEngine({ delay, text }) });
    const { status, stdout } = await moshi(['converse', input, output, '--seed', '7', '--text', transcriptFile], {
      models,
    });
    expect(status).toBe(0);
    expect(stdout).toContain('2 words: Hello you');
    expect(stdout).toContain('untrained');
    const wav = readWav(await readFile(output));
    expect(wav.pcm.subarray(0, Math.max(0, delay * 1920 - 400)).every((sample) => sample === 0)).toBe(true);
    expect(Math.abs(lag(original, wav.pcm, 4000, 16))).toBeLessThanOrEqual(24);
    const transcript = JSON.parse(await readFile(transcriptFile, 'utf8'));
    expect(transcript).toMatchObject({
      text: 'Hello you',
      model: 'test/scripted',
      trained: false,
      seed: 7,
      frames: 38,
    });
    expect(transcript.words.map((word: { text: string }) => word.text)).toEqual(['Hello', 'you']);
    // Step 10 ends at 0.88 s; some audio may be on its way when its text arrives.
    expect(Math.abs(transcript.words[0].start - 0.88)).toBeLessThanOrEqual(0.1);
    expect(transcript.words[1].start - transcript.words[0].start).toBeCloseTo(0.8, 1);
    expect(transcript.fragments).toHaveLength(3);
    expect(transcript.metrics.textMessages).toBe(3);
  });

  it('tells the server what was asked for', async () => {
    await writeFile(input, writeWav(speech(0.5, 24_000)));
    const engine = scriptedEngine();
    const server = await createServer({ engine, port: 0 });
    const flags = ['--seed', '5', '--text-temperature', '0', '--text-topk', '3', '--audio-temperature', '0.5'];
    const more = ['--audio-topk', '9', '--voice', 'NATF2', '--prompt', 'You are kind.', '--dialect', 'moshi'];
    const { status } = await moshi(['converse', input, output, '--url', server.url, ...flags, ...more]);
    await server.close();
    expect(status).toBe(0);
    expect(engine.opened).toEqual([
      expect.objectContaining({
        ...{ textSeed: 5, audioSeed: 5, textTemperature: 0, textTopK: 3, audioTemperature: 0.5, audioTopK: 9 },
        ...{ voice: 'NATF2', prompt: 'You are kind.' },
      }),
    ]);
  });

  it('refuses what would lose or feign something', async () => {
    await writeFile(input, writeWav(speech(0.5, 24_000)));
    const same = await moshi(['converse', input, output, '--engine', 'loopback', '--text', output]);
    expect(same).toMatchObject({ status: 2, stderr: expect.stringContaining('same file') });
    const seedless = ['--url', 'ws://127.0.0.1:9', '--dialect', 'moshi-server', '--seed', '1'];
    const refused = await moshi(['converse', input, output, ...seedless]);
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('takes no seed') });
  });

  it('opens a server with its key', async () => {
    await writeFile(input, writeWav(speech(0.5, 24_000)));
    const server = await createServer({ engine: scriptedEngine(), port: 0, keys: ['sesame'] });
    const args = ['converse', input, output, '--url', server.url];
    expect((await moshi(args)).status).toBe(4);
    expect((await moshi([...args, '--key', 'sesame'])).status).toBe(0);
    await server.close();
  });

  it('replaces an existing file only when all went well', async () => {
    await writeFile(input, writeWav(speech(0.5, 24_000)));
    await writeFile(output, 'precious');
    const refused = await moshi(['converse', input, output, '--url', 'ws://127.0.0.1:9']);
    expect(refused.status).toBe(4);
    expect(await readFile(output, 'utf8')).toBe('precious');
    expect((await readdir(folder)).sort()).toEqual(['in.wav', 'out.wav']);
    expect((await moshi(['converse', input, output, '--engine', 'loopback'])).status).toBe(0);
    expect(readWav(await readFile(output)).pcm).toHaveLength(12_000);
  });

  it('fails with 1 when the model fails in the middle', async () => {
    await writeFile(input, writeWav(speech(3, 24_000)));
    const onStep = (step: number) => {
      if (step === 5) throw new Error('out of luck');
    };
    const models = async () => fakeModels({ loadEngine: async () => scriptedEngine({ onStep }) });
    const { status, stderr } = await moshi(['converse', input, output], { models });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^moshi: .+\n$/);
    expect(await readdir(folder)).toEqual(['in.wav']);
  });

  it('ends with 130 when interrupted, and leaves nothing behind', async () => {
    await writeFile(input, writeWav(speech(60, 24_000)));
    const interrupt = new AbortController();
    const engine = scriptedEngine({ onStep: (step) => step === 20 && interrupt.abort() });
    const models = async () => fakeModels({ loadEngine: async () => engine });
    const { status, stderr } = await moshi(['converse', input, output], { models, signal: interrupt.signal });
    expect(status).toBe(130);
    expect(stderr).toBe('moshi: interrupted\n');
    expect(engine.closed).toBe(1);
    expect(await readdir(folder)).toEqual(['in.wav']);
  });

  it('lets the model speak what it is told, in order, and waits for the end of it', async () => {
    await writeFile(input, writeWav(speech(1, 24_000)));
    const engine = scriptedEngine({ stepsPerWord: 4 });
    const models = async () => fakeModels({ loadEngine: async () => engine });
    const file = join(folder, 'out.json');
    const spoken = ['--say', 'Your order has shipped.', '--say', 'Anything else?', '--say-only', '--voice', 'NATF2'];
    const { status, stderr, stdout } = await moshi(['converse', input, output, '--text', file, ...spoken], { models });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('6 words: Your order has shipped. Anything else?');
    expect(engine.opened).toMatchObject([{ voice: 'NATF2', sayOnly: true }]);
    const transcript = JSON.parse(await readFile(file, 'utf8'));
    expect(transcript.text).toBe('Your order has shipped. Anything else?');
    expect(transcript.said).toEqual([
      { asked: 'Your order has shipped.', spoken: 'Your order has shipped.', completed: true },
      { asked: 'Anything else?', spoken: 'Anything else?', completed: true },
    ]);
    const starts = transcript.words.map(({ start }: { start: number }) => start);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    // The last of six words comes with frame 20, 1.6 s in; the sound goes on for a second after that.
    const { length } = readWav(await readFile(output)).pcm;
    expect(length / 24_000).toBeGreaterThan(2.6);
    expect(length % 1920).toBe(24_000 % 1920);
    expect(transcript.frames).toBe(Math.ceil(length / 1920));
  });

  it('needs no more than the input where there is room for what is said', async () => {
    await writeFile(input, writeWav(speech(4, 24_000)));
    const models = async () => fakeModels({ loadEngine: async () => scriptedEngine({ stepsPerWord: 2 }) });
    expect((await moshi(['converse', input, output, '--say', 'Hello there.'], { models })).status).toBe(0);
    expect(readWav(await readFile(output)).pcm).toHaveLength(96_000);
  });

  it('fails with 4 when the server cannot be made to speak', async () => {
    await writeFile(input, writeWav(speech(1, 24_000)));
    const server = await createServer({ engine: scriptedEngine(), port: 0 });
    const { status, stderr } = await moshi(['converse', input, output, '--url', server.url, '--say', 'Hello.']);
    await server.close();
    expect(status).toBe(4);
    expect(stderr).toMatch(/^moshi: .+\n$/);
    expect(await readdir(folder)).toEqual(['in.wav']);
  });
});

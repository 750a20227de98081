import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultModel, type Engine, type EngineFrame, type EngineSessionOptions, loadEngine } from '../src';
import { speech } from './support/audio';
import { personaplexModel } from './support/personaplex';

/** Opens a session, pushes the samples and resolves with a frame for every whole frame of input. */
async function converse(engine: Engine, pcm: Float32Array, options: EngineSessionOptions): Promise<EngineFrame[]> {
  const session = await engine.open(options);
  const frames: EngineFrame[] = [];
  await new Promise<void>((resolve, reject) => {
    session.on('error', reject);
    session.on('frame', (frame) => {
      frames.push(frame);
      if (frames.length === Math.floor(pcm.length / 1920)) resolve();
    });
    session.push(pcm);
  });
  await session.close();
  return frames;
}

const tokens = (frames: EngineFrame[]) => frames.map((frame) => frame.token);
const samples = (frames: EngineFrame[]) => frames.flatMap((frame) => [...(frame.pcm ?? [])]);

describe('the engine', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await loadEngine({ slots: 3 });
  });
  afterAll(() => engine.close());

  it('says what it is', () => {
    expect(engine.info).toMatchObject({
      model: 'embedded',
      trained: false,
      slots: 3,
      sampleRate: 24000,
      frameSamples: 1920,
    });
    expect(engine.info.details).toMatchObject({ codebooks: 8, delayFrames: 1 });
  });

  it('answers every frame of speech in order, with sound from the second on', async () => {
    const frames = await converse(engine, speech(40), { seed: 1 });
    expect(frames.map((frame) => frame.step)).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(frames[0]).toMatchObject({ pcm: null, text: null, token: -1 });
    for (const { pcm, token } of frames.slice(1)) {
      expect(pcm).toHaveLength(1920);
      expect(token).toBeGreaterThanOrEqual(0);
    }
    const pcm = samples(frames);
    const level = Math.sqrt(pcm.reduce((sum, v) => sum + v * v, 0) / pcm.length);
    expect(level).toBeGreaterThan(0.002);
    expect(Math.max(...pcm.map(Math.abs))).toBeLessThan(1);
    expect(frames.some((frame) => frame.text?.startsWith(' '))).toBe(true);
    expect(frames.every((frame) => frame.timing.encodeMs > 0 && frame.timing.lmMs > 0)).toBe(true);
  });

  it('repeats with a seed, changes with it, and hears its input', async () => {
    const pcm = speech(15);
    const first = await converse(engine, pcm, { seed: 7 });
    expect(samples(await converse(engine, pcm, { seed: 7 }))).toEqual(samples(first));
    expect(samples(await converse(engine, pcm, { seed: 8 }))).not.toEqual(samples(first));
    expect(samples(await converse(engine, new Float32Array(pcm.length), { seed: 7 }))).not.toEqual(samples(first));
  });

  it('keeps sessions apart: alone or in company every bit is the same', async () => {
    const pcm = speech(15);
    const alone = await converse(engine, pcm, { seed: 3 });
    const [again] = await Promise.all([
      converse(engine, pcm, { seed: 3 }),
      converse(
        engine,
        pcm.map((v) => -v),
        { seed: 4 },
      ),
      converse(engine, pcm.subarray(0, 1920 * 5), { seed: 5 }),
    ]);
    expect(samples(again)).toEqual(samples(alone));
    expect(tokens(again)).toEqual(tokens(alone));
  });

  it('starts anew after a reset', async () => {
    const pcm = speech(10);
    const fresh = await converse(engine, pcm, { seed: 9 });
    const session = await engine.open({ seed: 9 });
    session.push(speech(3));
    await session.reset();
    const frames: EngineFrame[] = [];
    await new Promise<void>((resolve) => {
      session.on('frame', (frame) => frames.push(frame) === 10 && resolve());
      session.push(pcm);
    });
    await session.close();
    expect(frames[0]?.step).toBe(0);
    expect(samples(frames)).toEqual(samples(fresh));
  });

  it('never blocks the event loop while it steps', async () => {
    let turns = 0;
    let running = true;
    const count = () => {
      turns++;
      if (running) setImmediate(count);
    };
    count();
    await converse(engine, speech(30), { seed: 1 });
    running = false;
    // Were the steps taken on this thread, about one turn a frame would pass.
    expect(turns).toBeGreaterThan(300);
  });

  it('gives every slot once and takes it back', async () => {
    const sessions = await Promise.all([engine.open(), engine.open(), engine.open()]);
    await expect(engine.open()).rejects.toMatchObject({ code: 'ENGINE_FULL' });
    await sessions[1]?.close();
    const fourth = await engine.open();
    await Promise.all([sessions[0]?.close(), sessions[2]?.close(), fourth.close()]);
  });

  it('opens and closes at any moment without growing', async () => {
    const pcm = speech(4);
    const round = async () => {
      const session = await engine.open();
      session.push(pcm);
      if (Math.random() < 0.5) await session.reset();
      await session.close();
    };
    for (let i = 0; i < 20; i++) await round();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 150; i++) await round();
    expect(process.memoryUsage().rss - before).toBeLessThan(60e6);
  });

  it('is silent and closed after close', async () => {
    const session = await engine.open();
    let late = 0;
    session.push(speech(5));
    const closing = session.close();
    session.on('frame', () => late++);
    await closing;
    await session.close();
    expect(late).toBe(0);
    expect(session.queued).toBe(0);
    expect(() => session.push(speech(1))).toThrowError(expect.objectContaining({ code: 'ENGINE_CLOSED' }));
    await expect(session.reset()).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
  });

  it('names the option that is out of range', async () => {
    await expect(engine.open({ textTemperature: -1 })).rejects.toThrow(/textTemperature is -1/);
    await expect(engine.open({ audioTopK: 1.5 })).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    await expect(engine.open({ seed: Number.NaN })).rejects.toThrow(/seed/);
    await expect(loadEngine({ slots: 0 })).rejects.toThrow(/slots is 0/);
    await expect(loadEngine({ isa: 'mmx' })).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
  });

  it('refuses ten minutes of unanswered input instead of growing', async () => {
    const session = await engine.open();
    expect(() => session.push(new Float32Array(1920 * 8000))).toThrow(/ten minutes/);
    await session.close();
  });

  it('speaks more pauses with a padding bonus', async () => {
    const words = async (padMult: number) =>
      (await converse(engine, speech(60), { seed: 2, padMult })).filter((frame) => frame.text !== null).length;
    expect(await words(4)).toBeLessThan(await words(-4));
  });
});

describe('loading', () => {
  it('takes the same model from its folder', async () => {
    const [embedded, folder] = await Promise.all([loadEngine(), loadEngine({ model: await defaultModel() })]);
    const pcm = speech(6);
    expect(samples(await converse(folder, pcm, { seed: 1 }))).toEqual(
      samples(await converse(embedded, pcm, { seed: 1 })),
    );
    expect(folder.info.trained).toBe(true);
    await Promise.all([embedded.close(), folder.close()]);
  });

  it('says the same on every instruction set, but for rounding', async () => {
    const pcm = speech(6);
    const outputs: number[][] = [];
    for (const isa of ['baseline', 'avx2']) {
      try {
        const engine = await loadEngine({ isa, threads: 1 });
        outputs.push(tokens(await converse(engine, pcm, { seed: 1, textTemperature: 0, audioTemperature: 0 })));
        await engine.close();
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENGINE_BAD_OPTION' });
      }
    }
    for (const output of outputs) expect(output).toEqual(outputs[0]);
  });

  it('runs a PersonaPlex checkpoint, which hears one frame later', async () => {
    const model = await personaplexModel(16);
    const engine = await loadEngine({ model });
    expect(engine.info).toMatchObject({ dialect: 'personaplex', details: { codebooks: 8, delayFrames: 2 } });
    const frames = await converse(engine, speech(8), { seed: 1 });
    expect(frames.map((frame) => frame.pcm === null)).toEqual([true, true, false, false, false, false, false, false]);
    // A prompt longer than the golden context wraps the ring; it changes what is said, and says it again after a reset.
    const prompted = await converse(engine, speech(8), { seed: 1, prompt: 'You are a patient guide.' });
    expect(samples(prompted)).not.toEqual(samples(frames));
    expect(prompted.map((frame) => frame.pcm === null)).toEqual(Array(8).fill(false));
    const session = await engine.open({ seed: 1, prompt: '<system> You are a patient guide. <system>' });
    session.push(speech(2));
    await session.reset();
    const again: EngineFrame[] = [];
    await new Promise<void>((resolve) => {
      session.on('frame', (frame) => again.push(frame) === 8 && resolve());
      session.push(speech(8));
    });
    expect(samples(again)).toEqual(samples(prompted));
    await session.close();
    await expect(engine.open({ prompt: 'word '.repeat(5000) })).rejects.toThrow(/shorten them to 2900/);
    await engine.close();
    await rm(model, { recursive: true });
  });

  it('closes with sessions open', async () => {
    const engine = await loadEngine({ slots: 2 });
    const [first, second] = await Promise.all([engine.open(), engine.open()]);
    first.push(speech(20));
    await engine.close();
    await Promise.all([first.close(), second.close(), engine.close()]);
    await expect(engine.open()).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
  });
});

import { createHook } from 'node:async_hooks';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { BACKENDS, type Engine, type EngineSession, type Hardware, inspectHardware } from '../src';
import { runnable } from '../src/backends';
import { type LoadEngineOptions, loadEngineIn } from '../src/load-engine';
import { hasKernels, nativeDevice } from '../src/native';
import { busy, card, machine } from './support/machines';
import { sparseModel } from './support/sparse-model';
import { nativeError, type StandIn, standInAddon } from './support/stand-in-addon';

const RTX_3090 = card('RTX 3090', '8.6', 24, 936);
const ONE = machine([RTX_3090]);
const TWO = machine([RTX_3090, RTX_3090]);

let model: string;
let small: string;
beforeAll(async () => {
  model = await sparseModel();
  small = await sparseModel(999e6);
});
afterAll(async () => {
  for (const folder of [model, small]) await rm(folder, { recursive: true });
});

interface Around extends StandIn {
  /** What each look at the machine finds; the last one stays. */
  hardware?: Hardware[];
  backends?: typeof BACKENDS;
  env?: Record<string, string>;
}

/** Loads as on a machine with a backend for GPUs, with a stand-in for the addon. */
function loading(options: LoadEngineOptions, { hardware = [ONE], backends, env = {}, ...standIn }: Around = {}) {
  const addon = standInAddon(standIn);
  const left = [...hardware];
  const seen = { looks: 0 };
  const inspect = async () => {
    seen.looks++;
    return left.length > 1 ? left.shift()! : left[0]!;
  };
  const engine = loadEngineIn(options, { native: addon.native, backends: backends ?? ['cuda', 'cpu'], inspect, env });
  return { ...addon, seen, engine };
}

function refuse(prompt: string | undefined) {
  if (prompt !== undefined) throw nativeError('ENGINE_BAD_OPTION', `${prompt} is no prompt`);
}

/** The error a session ends with. */
const failure = (session: EngineSession) => new Promise<Error>((resolve) => session.on('error', resolve));

describe('loading follows the plan', () => {
  it('on a GPU, and tells the addon so', async () => {
    const { engine, loads, cached } = loading({ model });
    const { info } = await engine;
    expect(loads).toEqual([
      expect.objectContaining({
        ...{ device: 'cuda', gpu: 0, graphs: true, weights: 'bf16', kv: 'f16', context: 3000, slots: 5 },
        kernels: expect.stringMatching(/prebuilds.kernels$/),
      }),
    ]);
    expect(cached).toEqual(['bf16']);
    expect(info).toMatchObject({ slots: 5, keepsUp: null, notes: [], details: { device: 'cuda:0', kv: 'f16' } });
    expect(info.devices).toEqual([
      expect.objectContaining({ device: 'cuda:0', slots: 5, weights: 'bf16', kv: 'f16', context: 3000, keepsUp: null }),
    ]);
    expect(info.devices[0]!.plan).toMatchObject({ model, predictedMs: expect.any(Number) });
  });

  it('with the options that win over it', async () => {
    const options = { model, weights: 'q8', kv: 'q8', context: 2000, slots: 3, graphs: false } as const;
    const { engine, loads, cached } = loading(options);
    await engine;
    expect(loads).toEqual([
      expect.objectContaining({ weights: 'q8', kv: 'q8', context: 2000, slots: 3, graphs: false }),
    ]);
    expect(cached).toEqual(['q8']);
  });

  it('with the estimates of the environment, and those of the options before them', async () => {
    const slots = async (options: object, env: Record<string, string>) =>
      (await loading({ model, ...options }, { env }).engine).info.slots;
    expect(await slots({}, { MOSHI_PER_BATCH_ITEM_MB: '4000' })).toBe(2);
    expect(await slots({ perBatchItemMB: 8000 }, { MOSHI_PER_BATCH_ITEM_MB: '4000' })).toBe(1);
    expect(await slots({ reservedBytes: 5e9 }, {})).toBe(3);
    await expect(slots({}, { MOSHI_PER_BATCH_ITEM_MB: 'x' })).rejects.toThrow('MOSHI_PER_BATCH_ITEM_MB is x');
    await expect(slots({ reservedBytes: -1 }, {})).rejects.toThrow('reservedBytes is -1');
  });

  it.each<[string, LoadEngineOptions | (() => LoadEngineOptions), Around, number]>([
    ['with gpu: false', () => ({ model, gpu: false }), {}, 0],
    ['in a version without GPUs', () => ({ model }), { backends: ['cpu'] }, 0],
    ['for the embedded model', {}, {}, 0],
    ['for a small model', () => ({ model: small }), {}, 0],
    ['where there is no GPU', () => ({ model }), { hardware: [machine([])] }, 1],
  ])('not, but runs on the CPU %s', async (_, options, around, looks) => {
    const { engine, loads, seen } = loading(typeof options === 'function' ? options() : options, around);
    const { info } = await engine;
    expect(seen.looks).toBe(looks);
    expect(loads).toEqual([
      expect.objectContaining({ device: 'cpu', weights: 'auto', kv: 'auto', context: 0, slots: 1 }),
    ]);
    expect(loads[0]).not.toHaveProperty('gpu');
    expect(info).toMatchObject({ slots: 1, notes: [], details: { device: 'cpu' } });
  });

  it('to a GPU for a small model too, when it is asked for', async () => {
    const { engine, loads } = loading({ gpu: 0 });
    await engine;
    expect(loads).toEqual([expect.objectContaining({ device: 'cuda', gpu: 0 })]);
  });

  it('and says why it runs on the CPU', async () => {
    const gpuProblem = { code: 'GPU_PROBE_CRASHED', message: 'the driver crashed: install it anew' } as const;
    const { engine } = loading({ model }, { hardware: [{ ...machine([]), gpuProblem }] });
    expect((await engine).info.notes).toEqual(['it runs on the CPU: the driver crashed: install it anew']);
  });

  it.each<[string, LoadEngineOptions, Around, RegExp]>([
    ['a GPU in a version without', { gpu: 0 }, { backends: ['cpu'] }, /^gpu is 0, and this build runs every model/],
    ['any GPU in a version without', { gpu: true }, { backends: ['cpu'] }, /^gpu is true, and this build/],
    // There is no such model: it is not even looked for.
    ['a GPU that is not there', { gpu: 3, model: 'no/where' }, {}, /^gpu is 3: there is no GPU 3/],
    ['what is no GPU', { gpu: 'cuda' as 'auto' }, {}, /^gpu is "cuda"/],
    ['no context', { context: 0 }, {}, /^context is 0/],
  ])('but refuses %s', async (_, options, around, message) => {
    const { engine, loads } = loading(options, around);
    await expect(engine).rejects.toThrow(expect.objectContaining({ code: 'ENGINE_BAD_OPTION' }));
    await expect(engine).rejects.toThrow(message);
    expect(loads).toEqual([]);
  });

  it('not, where the config tells no sizes', async () => {
    const vague = await sparseModel(2e9, { dim: 'large' });
    const { engine, loads } = loading({ model: vague });
    expect((await engine).info.notes).toEqual([expect.stringMatching(/^it runs on the CPU: .*config\.json does not/)]);
    expect(loads).toEqual([expect.objectContaining({ device: 'cpu' })]);
    await expect(loading({ model: vague, gpu: 0 }).engine).rejects.toMatchObject({ code: 'ENGINE_BAD_MODEL' });
    await rm(vague, { recursive: true });
  });

  it('but refuses a context that its engine does not run', async () => {
    const { engine, engines } = loading({ context: 100, gpu: false }, {});
    expect((await engine).info.devices[0]!.context).toBe(100);
    const deaf = standInAddon();
    const native = {
      ...deaf.native,
      loadEngine: (files: never, load: object) => deaf.native.loadEngine(files, { ...load, context: 0 } as never),
    };
    const around = { native, backends: BACKENDS, inspect: async () => ONE, env: {} };
    await expect(loadEngineIn({ context: 100 }, around)).rejects.toThrow(/^context is 100; this model runs with 3000/);
    expect([engines[0]!.closed, deaf.engines[0]!.closed]).toEqual([false, true]);
  });
});

describe('a build', () => {
  it('runs on GPUs only with kernels for them', () => {
    expect(runnable(['cuda', 'cpu'], () => true)).toEqual(['cuda', 'cpu']);
    expect(runnable(['cuda', 'cpu'], () => false)).toEqual(['cpu']);
    expect(runnable(['cpu'], () => true)).toEqual(['cpu']);
  });

  it('has the kernels that lie in its folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-kernels-'));
    expect([hasKernels(join(folder, 'none')), hasKernels(folder)]).toEqual([false, false]);
    await writeFile(join(folder, 'kernels.json'), '{}');
    expect(hasKernels(folder)).toBe(false);
    await writeFile(join(folder, 'norm.sm_80.ptx'), '');
    expect(hasKernels(folder)).toBe(true);
    await rm(folder, { recursive: true });
  });

  it('has the kernels it is pointed to', () => {
    vi.stubEnv('MOSHI_KERNELS', '/kernels');
    expect(hasKernels()).toBe(true);
    expect(nativeDevice('cuda:3')).toEqual({ device: 'cuda', gpu: 3, kernels: '/kernels', graphs: true });
    expect(nativeDevice('cpu')).toEqual({ device: 'cpu' });
    vi.unstubAllEnvs();
  });
});

describe('the driver', () => {
  const processes = async (options: LoadEngineOptions) => {
    let count = 0;
    const hook = createHook({ init: (_, type) => void (type === 'PROCESSWRAP' && count++) }).enable();
    const around = { backends: ['cuda', 'cpu'] as const, inspect: () => inspectHardware(), env: {} };
    await loadEngineIn(options, { native: standInAddon().native, ...around }).finally(() => hook.disable());
    return count;
  };

  it('is asked in a process of its own, and with gpu: false not at all', async () => {
    expect(await processes({ model })).toBe(1);
    expect(await processes({ model, gpu: false })).toBe(0);
  });
});

describe('memory that runs out', () => {
  const outOfMemory = (device: string) => (_: unknown, on: string) => {
    if (on === device) throw nativeError('ENGINE_GPU_MEMORY', `${device} has no 9.0 GB left`);
  };

  it('is told with the plan that would fit by then', async () => {
    const hardware = [ONE, machine([busy(RTX_3090, 9e9)])];
    const { engine, seen } = loading({ model }, { hardware, onLoad: outOfMemory('cuda:0') });
    await expect(engine).rejects.toMatchObject({
      code: 'ENGINE_GPU_MEMORY',
      message: expect.stringMatching(
        /^cuda:0 has no 9\.0 GB left\. What would: .* on cuda:0 \(q4\/q8 mixed, int8 KV, .*; with gpu: false/,
      ),
    });
    expect(seen.looks).toBe(2);
  });

  it('is told with other cures where the plan was wrong or nothing fits', async () => {
    const same = loading({ model }, { onLoad: outOfMemory('cuda:0') });
    await expect(same.engine).rejects.toThrow('That was the plan: leave more free with reservedBytes');
    const full = [ONE, machine([busy(RTX_3090, 1e9)])];
    const nothing = loading({ model }, { hardware: full, onLoad: outOfMemory('cuda:0') });
    await expect(nothing.engine).rejects.toThrow('Nothing would fit: free memory of the GPU');
  });

  it('on the second GPU closes the first', async () => {
    const { engine, engines } = loading({ model }, { hardware: [TWO], onLoad: outOfMemory('cuda:1') });
    await expect(engine).rejects.toMatchObject({ code: 'ENGINE_GPU_MEMORY' });
    expect(engines.map(({ device, closed }) => [device, closed])).toEqual([['cuda:0', true]]);
  });
});

describe('a signal', () => {
  it('ends the loading before the next GPU, and closes what was loaded', async () => {
    const stop = new AbortController();
    const options = { model, signal: stop.signal };
    const { engine, loads, engines } = loading(options, { hardware: [TWO], onLoad: () => stop.abort() });
    await expect(engine).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }));
    expect([loads.length, engines[0]!.closed]).toEqual([1, true]);
  });
});

describe('an engine on two GPUs', () => {
  const loaded = async (options: LoadEngineOptions = {}, around: Around = {}) => {
    const { engine, engines } = loading({ model, slots: 4, gpu: [0, 1], ...options }, { hardware: [TWO], ...around });
    return { engine: await engine, engines };
  };
  const open = (engine: Engine, count: number) => Promise.all(Array.from({ length: count }, () => engine.open()));

  it('tells the sum and the parts', async () => {
    const { engine } = await loaded({ slots: 5 });
    expect(engine.info).toMatchObject({
      slots: 5,
      details: { device: 'cuda:0, cuda:1' },
      devices: [
        { device: 'cuda:0', slots: 3 },
        { device: 'cuda:1', slots: 2 },
      ],
    });
  });

  it('opens sessions where most slots are free, on the first of equals', async () => {
    const { engine, engines } = await loaded({ slots: 5 });
    const counts: number[][] = [];
    const sessions: EngineSession[] = [];
    for (let i = 0; i < 5; i++) {
      sessions.push(await engine.open());
      counts.push(engines.map(({ listeners }) => listeners.length));
    }
    expect(counts).toEqual([
      [1, 0],
      [2, 0],
      [2, 1],
      [3, 1],
      [3, 2],
    ]);
    await expect(engine.open()).rejects.toThrow(expect.objectContaining({ code: 'ENGINE_FULL' }));
    await expect(engine.open()).rejects.toThrow(/^all 5 slots are taken/);
    await sessions[2]!.close();
    await engine.open();
    expect(engines.map(({ listeners }) => listeners.length)).toEqual([3, 2]);
  });

  it('does not promise a slot twice to those that come at once', async () => {
    const { engine, engines } = await loaded();
    await open(engine, 4);
    expect(engines.map(({ listeners }) => listeners.length)).toEqual([2, 2]);
  });

  it('has the slot of a session that could not be opened again', async () => {
    const { engine, engines } = await loaded({}, { onOpen: ({ prompt }) => refuse(prompt) });
    for (let i = 0; i < 5; i++) await expect(engine.open({ prompt: 'bad' })).rejects.toThrow('bad is no prompt');
    await open(engine, 4);
    expect(engines.map(({ listeners }) => listeners.length)).toEqual([2, 2]);
  });

  it('goes on when one is lost, whose sessions all hear of it', async () => {
    const { engine, engines } = await loaded();
    const sessions = await open(engine, 3);
    const lost = [sessions[0]!, sessions[2]!];
    const errors: Error[] = [];
    for (const session of sessions) session.on('error', (error) => errors.push(error));
    const told = Promise.all(lost.map(failure));
    engines[0]!.lose();
    for (const error of await told) expect(error).toMatchObject({ code: 'ENGINE_GPU_LOST' });
    await Promise.all(lost.map((session) => session.close()));
    // The other card has one more place, and nobody is sent to the lost one.
    await engine.open();
    expect(engines.map(({ listeners }) => listeners.length)).toEqual([0, 2]);
    await expect(engine.open()).rejects.toThrow('all 2 slots are taken');
    expect(errors).toHaveLength(2);
  });

  it('does not tell sessions that were closed before', async () => {
    const { engine, engines } = await loaded();
    const [first, , third] = await open(engine, 3);
    let told = 0;
    third!.on('error', () => told++);
    const closing = third!.close();
    const lost = failure(first!);
    engines[0]!.lose();
    await Promise.all([lost, closing]);
    expect(told).toBe(0);
  });

  it('that is found lost when a voice is read takes the session to the other', async () => {
    const voices = await mkdtemp(join(tmpdir(), 'moshi-voices-'));
    await writeFile(join(voices, 'mine.pt'), '');
    const onVoice = (device: string) => {
      if (device === 'cuda:0') throw nativeError('ENGINE_GPU_LOST', 'cuda:0 failed: restart the program');
    };
    const { engine, engines } = await loaded({ voices }, { onVoice });
    await engine.open({ voice: 'mine' });
    expect(engines.map(({ listeners }) => listeners.length)).toEqual([0, 1]);
    await rm(voices, { recursive: true });
  });

  it('that is found lost when a session is opened sends it to the other', async () => {
    const { engine, engines } = await loaded();
    engines[0]!.lose();
    await engine.open();
    expect(engines[1]!.listeners).toHaveLength(1);
    engines[1]!.lose();
    await expect(engine.open()).rejects.toMatchObject({ code: 'ENGINE_GPU_LOST' });
  });

  it('closes both', async () => {
    const { engine, engines } = await loaded();
    await open(engine, 2);
    await engine.close();
    expect(engines.map(({ closed }) => closed)).toEqual([true, true]);
    await expect(engine.open()).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
  });

  it('keeps the slots of each that keep up, and says so', async () => {
    const frameMs = (sessions: number, device: string) => (device === 'cuda:0' ? 10 : 30) * sessions;
    const { engine } = await loaded({ slots: undefined }, { frameMs });
    expect(engine.info).toMatchObject({ slots: 7, keepsUp: true });
    expect(engine.info.devices.map(({ slots, keepsUp }) => [slots, keepsUp])).toEqual([
      [5, true],
      [2, true],
    ]);
    expect(engine.info.devices[1]!.rehearsal).toContainEqual({ sessions: 3, ms: 90 });
    expect(engine.info.notes).toEqual([
      'on cuda:0 a frame of 5 sessions takes 50 of its 80 ms: it keeps up',
      expect.stringMatching(/^on cuda:1 a frame of 5 sessions takes 150 .*: 2 sessions in place of 5 keep up$/),
    ]);
    await open(engine, 7);
    await expect(engine.open()).rejects.toMatchObject({ code: 'ENGINE_FULL' });
  });

  it('keeps the slots that were asked for, and says that they are too many', async () => {
    const { engine } = await loaded({ slots: 6 }, { frameMs: (sessions) => 30 * sessions });
    expect(engine.info).toMatchObject({ slots: 6, keepsUp: false });
    expect(engine.info.notes).toHaveLength(2);
    expect(engine.info.notes[0]).toContain('sound will break up; 2 sessions would keep up');
    await open(engine, 6);
  });
});

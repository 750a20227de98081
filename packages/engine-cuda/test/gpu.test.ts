import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Hardware, type InspectOptions, inspectHardware } from '../src';
import { inspectWith } from '../src/hardware';

const SOURCE = fileURLToPath(new URL('../native/tests/fake_driver.cc', import.meta.url));
const EMULATED = fileURLToPath(new URL('../native/build/libcuda-emulated.so', import.meta.url));
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'moshi-gpu-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

/** Looks at this machine as if it had a driver with that fault. */
async function withDriver(fault = '', options: InspectOptions = {}): Promise<Hardware> {
  const library = join(folder, `driver${fault}.so`);
  const compiler = process.env.CXX || 'g++';
  execFileSync(compiler, ['-std=c++20', '-shared', '-fPIC', `-DFAKE${fault}`, SOURCE, '-o', library]);
  return inspectWith(options, { cuda: library, nvml: library });
}

describe('GPUs', () => {
  it('are listed with what the driver tells', async () => {
    const { gpus, gpuProblem } = await withDriver();
    expect(gpuProblem).toBeUndefined();
    expect(gpus).toHaveLength(2);
    expect(gpus[0]).toEqual({
      index: 0,
      name: 'NVIDIA GeForce RTX 4090',
      uuid: 'GPU-00010203-0405-0607-0809-0a0b0c0d0e0f',
      computeCapability: '8.9',
      architecture: 'Ada',
      memory: { totalBytes: 24 * 2 ** 30, freeBytes: 12 * 2 ** 30 },
      bandwidth: (2 * 10_501_000_000 * 384) / 8,
      multiprocessors: 128,
      integrated: false,
      ecc: true,
      mig: false,
      driver: '550.54.15',
      cuda: '12.4',
      processes: [
        { pid: 4242, bytes: 6e9 },
        { pid: 4343, bytes: null },
      ],
    });
    expect(gpus[1]).toMatchObject({ index: 1, architecture: 'Turing', ecc: false, processes: [] });
    // What one library keeps to itself, the other tells.
    expect(gpus[1]!.bandwidth).toBe((2 * 7_000_000_000 * 256) / 8);
    // Text without an end is cut off, and what a terminal would obey is gone.
    expect(gpus[1]!.name).toMatch(/^Fake \?\[31m\? x+$/);
    expect(gpus[1]!.name.length).toBeLessThanOrEqual(100);
  });

  it('that are slices have their own memory and their share of the bandwidth', async () => {
    const [slice, whole] = (await withDriver('_MIG')).gpus;
    expect(slice).toMatchObject({ mig: true, uuid: expect.stringMatching(/^MIG-0001/) });
    expect(slice!.memory).toEqual({ totalBytes: 12 * 2 ** 30, freeBytes: 3 * 2 ** 30 });
    expect(slice!.bandwidth).toBe((10_501_000_000 * 384) / 8);
    expect(whole).toMatchObject({ mig: false, memory: { totalBytes: 8 * 2 ** 30, freeBytes: 4 * 2 ** 30 } });
  });

  it('are listed by a driver that lacks all it may lack', async () => {
    const { gpus, gpuProblem } = await withDriver('_BARE');
    expect(gpuProblem).toBeUndefined();
    expect(gpus[1]).toMatchObject({
      name: '',
      uuid: '',
      computeCapability: '7.5',
      memory: { totalBytes: 0, freeBytes: 0 },
      bandwidth: null,
      driver: null,
    });
  });

  it('of a driver that is too old are listed, with the cure', async () => {
    const { gpus, gpuProblem } = await withDriver('_OLD');
    expect(gpus[0]!.cuda).toBe('8.0');
    expect(gpuProblem).toMatchObject({ code: 'GPU_DRIVER_TOO_OLD', message: expect.stringContaining('384 or newer') });
  });

  it.each([
    ['_MISMATCH', 'GPU_DRIVER_MISMATCH', 'restart the machine'],
    ['_NO_DEVICE', 'GPU_NOT_FOUND', '--gpus all'],
    ['_NO_PERMISSION', 'GPU_NO_PERMISSION', '/dev/nvidia*'],
    ['_CRASH', 'GPU_PROBE_CRASHED', 'SIGABRT, fake driver: out of luck'],
  ])('%s: none, and %s', async (fault, code, cure) => {
    const { gpus, gpuProblem, cpu } = await withDriver(fault);
    expect(gpus).toEqual([]);
    expect(gpuProblem).toEqual({ code, message: expect.stringContaining(cure) });
    expect(cpu.used).not.toBe('');
  });

  it('of a driver that hangs are given up', async () => {
    const { gpus, gpuProblem } = await withDriver('_HANG', { timeoutMs: 1500 });
    expect(gpus).toEqual([]);
    expect(gpuProblem).toEqual({ code: 'GPU_PROBE_TIMED_OUT', message: expect.stringContaining('within 1500 ms') });
  });

  it('are none, and no problem, without a driver', async () => {
    const hardware = await inspectWith({}, { cuda: join(folder, 'none.so'), nvml: join(folder, 'none.so') });
    expect(hardware.gpus).toEqual([]);
    expect(hardware).not.toHaveProperty('gpuProblem');
  });

  it('are not asked for with gpu: false', async () => {
    const hardware = await withDriver('_CRASH', { gpu: false });
    expect(hardware.gpus).toEqual([]);
    expect(hardware).not.toHaveProperty('gpuProblem');
  });
});

describe('inspectHardware', () => {
  it('measures memory only when asked', async () => {
    expect((await inspectHardware({ gpu: false })).memory).not.toHaveProperty('bandwidth');
    expect((await inspectHardware({ gpu: false, measure: true })).memory.bandwidth).toBeGreaterThan(1e8);
  });

  it('refuses a bad timeout', async () => {
    await expect(inspectHardware({ timeoutMs: 0 })).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
  });

  // `npm test` builds it before this runs.
  it.skipIf(!existsSync(EMULATED))('of the emulated driver are listed', async () => {
    vi.stubEnv('MOSHI_EMULATED_ARCH', '89');
    vi.stubEnv('MOSHI_EMULATED_CARDS', '2');
    vi.stubEnv('MOSHI_EMULATED_MEMORY', '1000000');
    const { gpus, gpuProblem } = await inspectWith({}, { cuda: EMULATED, nvml: 'none' });
    expect(gpuProblem).toBeUndefined();
    expect(gpus).toHaveLength(2);
    expect(gpus[1]).toMatchObject({
      name: 'Emulated GPU, sm_89',
      computeCapability: '8.9',
      memory: { totalBytes: 1_000_000, freeBytes: 1_000_000 },
      cuda: '12.8',
    });
    vi.stubEnv('MOSHI_EMULATED_FAULT', 'cuDeviceGetCount:1:803');
    expect((await inspectWith({}, { cuda: EMULATED, nvml: 'none' })).gpuProblem?.code).toBe('GPU_DRIVER_MISMATCH');
  });
});

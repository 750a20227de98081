import { type Gpu, type InspectOptions, outlook, planOverridesFromEnv } from '@moshi/engine-cuda';
import { describe, expect, it } from 'vitest';
import { fakeModels, moshi, testMachine } from './support/command';

const GPU: Gpu = {
  index: 0,
  name: 'NVIDIA GeForce RTX 4090',
  uuid: 'GPU-00',
  computeCapability: '8.9',
  architecture: 'Ada',
  memory: { totalBytes: 25.8e9, freeBytes: 25e9 },
  bandwidth: 1008e9,
  multiprocessors: 128,
  integrated: false,
  ecc: false,
  mig: false,
  driver: '550.54.15',
  cuda: '12.4',
  processes: [
    { pid: 4242, bytes: 6e8 },
    { pid: 4343, bytes: null },
  ],
};

const withGpu = (gpus = [GPU], backends: ('cpu' | 'cuda')[] = ['cpu']) => ({
  models: async () =>
    fakeModels({
      inspectHardware: async () =>
        testMachine({ gpus, memory: { totalBytes: 32e9, freeBytes: 24e9, bandwidth: 40e9 } }),
      outlook,
      planOverridesFromEnv,
      BACKENDS: backends,
    }),
});

describe('doctor', () => {
  it('tells what there is', async () => {
    const { status, stdout } = await moshi(['doctor']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/cpu +Test CPU, 4 threads, runs baseline, avx2/);
    expect(stdout).toMatch(/uses +avx2 kernels on 2 threads/);
    expect(stdout).toMatch(/model +the default model \(loopback\) loads/);
    const { machine, ok, model } = JSON.parse((await moshi(['doctor', '--json'])).stdout);
    expect(ok).toBe(true);
    expect(machine.cpu.used).toBe('avx2');
    expect(model.name).toBe('loopback');
  });

  it('tells everything that is wrong, and ends with 5', async () => {
    const models = async () => {
      throw new Error('the native engine cannot be loaded: build it');
    };
    const { status, stdout, stderr } = await moshi(['doctor', '--json'], { models });
    expect(status).toBe(5);
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      machine: null,
      gpusRun: false,
      outlook: null,
      model: null,
      problems: ['the native engine cannot be loaded: build it'],
    });
    expect(stderr).toBe('moshi: the native engine cannot be loaded: build it\n');
  });

  it('tells of GPUs, of every model, and that this version runs on the CPU', async () => {
    const { status, stdout } = await moshi(['doctor'], withGpu());
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /cuda:0 +NVIDIA GeForce RTX 4090, Ada 8.9, 25.8 GB, 25.0 GB free, 1008 GB\/s, driver 550.54.15, CUDA 12.4\n/,
    );
    expect(stdout).toMatch(/ +in use by process 4242 \(0.6 GB\), process 4343\n/);
    expect(stdout).toContain('but runs every model on the CPU');
    expect(stdout).toContain('read at 40 GB/s');
    expect(stdout).toMatch(
      /plan +personaplex-7b does not fit this machine: cpu has 2 threads, too few .*What would: stt-1b/,
    );
    expect(stdout).toMatch(
      / +once GPUs are run on: cuda:0, weights bf16, kv f16, context 3000, 5 sessions, 2\d\.\d ms/,
    );
    expect(stdout).toMatch(
      /plan +stt-1b: cpu, weights q8, kv f16, context 750, \d sessions?, .* ms of the 80 ms of a frame\n/,
    );
  });

  it('tells what runs on the GPUs in a version that runs on them', async () => {
    const two = [GPU, { ...GPU, index: 1, memory: { totalBytes: 25.8e9, freeBytes: 22e9 } }];
    const { status, stdout } = await moshi(['doctor'], withGpu(two, ['cuda', 'cpu']));
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /plan +personaplex-7b: cuda:0, weights bf16, kv f16, context 3000, 5 sessions, 2\d\.\d ms of the 80 ms of a frame\n +cuda:1 takes 3 sessions more\n +25\.0 GB free: bf16/,
    );
    expect(stdout).not.toContain('on the CPU');
    expect(stdout).not.toContain('once GPUs are run on');
    const report = JSON.parse((await moshi(['doctor', '--json'], withGpu(two, ['cuda', 'cpu']))).stdout);
    expect(report).toMatchObject({ gpusRun: true });
    expect(report.outlook[0]).toMatchObject({ now: { device: 'cuda:0' }, cards: [{ slots: 5 }, { slots: 3 }] });
  });

  it('says nothing of that where there are no GPUs, and tells why they are not seen', async () => {
    expect((await moshi(['doctor'], withGpu([]))).stdout).not.toContain('GPU');
    const gpuProblem = { code: 'GPU_NOT_FOUND', message: 'there is an NVIDIA driver but it shows no GPU' } as const;
    const models = async () => fakeModels({ inspectHardware: async () => testMachine({ gpuProblem }) });
    const { status, stdout } = await moshi(['doctor'], { models });
    expect(status).toBe(0);
    expect(stdout).toMatch(/gpu +there is an NVIDIA driver but it shows no GPU\n/);
  });

  it('prints the same as JSON', async () => {
    const report = JSON.parse((await moshi(['doctor', '--json'], withGpu())).stdout);
    expect(report).toMatchObject({ ok: true, gpusRun: false, machine: { gpus: [{ index: 0, driver: '550.54.15' }] } });
    expect(report.outlook).toHaveLength(5);
    expect(report.outlook[0]).toMatchObject({ model: 'personaplex-7b', best: { device: 'cuda:0' }, now: null });
  });

  it('neither measures nor asks the driver when told so', async () => {
    const asked: InspectOptions[] = [];
    const models = async () =>
      fakeModels({
        inspectHardware: async (options) => {
          asked.push(options);
          return testMachine();
        },
      });
    await moshi(['doctor'], { models });
    await moshi(['doctor', '--no-gpu', '--quick'], { models });
    expect(asked).toEqual([
      { gpu: true, measure: true },
      { gpu: false, measure: false },
    ]);
  });
});

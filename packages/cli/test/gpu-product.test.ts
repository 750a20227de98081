import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// The built packages on an emulated GPU, in processes of their own: probe, plan, rehearsal, conversation, and what fails.
const run = promisify(execFile);
const root = new URL('../../../', import.meta.url).pathname;
const driver = join(root, 'packages/engine-cuda/native/build/libcuda-emulated.so');
const moshi = join(root, 'packages/cli/bin/moshi.js');

/** Talks for a few frames and prints what came of it as JSON. */
const CONVERSATION = `
const { loadEngine } = await import('@moshi/engine-cuda');
const frames = 5;
const out = { events: [], pcm: [] };
try {
  const engine = await loadEngine({ weights: 'stored', kv: 'f32', ...JSON.parse(process.argv[1]) });
  out.info = engine.info;
  const session = await engine.open({ textSeed: 1, audioSeed: 1 });
  const idle = engine.info.slots > 1 ? await engine.open() : undefined;
  const told = new Promise((resolve) => idle?.on('error', (error) => resolve(out.idle = error.code)));
  await new Promise((resolve) => {
    session.on('frame', (frame) => out.pcm.push(Array.from(frame.pcm ?? [])) === frames && resolve());
    session.on('error', (error) => resolve(out.events.push(error.code)));
    let t = 0;
    for (let i = 0; i < frames; i++) session.push(Float32Array.from({ length: 1920 }, () => 0.25 * Math.sin(t++ * 0.03)));
  });
  if (out.events.length > 0 && idle) await told;
  if (out.events.length > 0) await engine.open().catch((error) => out.events.push(error.code));
  await engine.close();
} catch (error) {
  out.error = { code: error.code, message: error.message };
}
console.log(JSON.stringify(out));`;

interface Talk {
  info?: { devices: { device: string; slots: number; rehearsal: unknown[] }[]; details: Record<string, unknown> };
  events: string[];
  idle?: string;
  pcm: number[][];
  error?: { code: string; message: string };
}

describe.skipIf(!existsSync(driver) || !existsSync(join(root, 'packages/cli/dist/moshi.js')))('a GPU', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moshi-gpu-product-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const environment = (emulated: Record<string, string>) => ({
    ...process.env,
    MOSHI_CUDA_LIBRARY: driver,
    // Stand-ins for the kernels' images, so that no compiler for GPUs is needed.
    MOSHI_KERNELS: folder,
    MOSHI_EMULATED_KERNELS: folder,
    // Of the host nobody reads what lies on a GPU.
    MOSHI_EMULATED_SEALED: '1',
    ...emulated,
  });
  async function talk(options: object, emulated: Record<string, string> = {}): Promise<Talk> {
    const args = ['--input-type=module', '-e', CONVERSATION, JSON.stringify(options)];
    const { stdout, stderr } = await run(process.execPath, args, {
      cwd: join(root, 'packages/cli'),
      env: environment(emulated),
      maxBuffer: 1 << 26,
    });
    // What the emulated driver says at the end is what a program did wrong.
    expect(stderr).not.toContain('emulated driver');
    return JSON.parse(stdout);
  }

  it('holds the conversation that the CPU holds', { timeout: 240_000 }, async () => {
    const gpu = await talk({ gpu: 0, slots: 2 });
    expect(gpu.error).toBeUndefined();
    expect(gpu.info!.details).toMatchObject({ backend: 'cuda-sm_80', graphs: 'on' });
    expect(gpu.info!.devices).toMatchObject([
      { device: 'cuda:0', slots: 2, rehearsal: [{ sessions: 1 }, { sessions: 2 }] },
    ]);
    const cpu = await talk({ gpu: false });
    expect(cpu.info!.details.backend).toMatch(/^cpu-/);
    expect(gpu.pcm.map((frame) => frame.length)).toEqual(cpu.pcm.map((frame) => frame.length));
    const apart = gpu.pcm.flatMap((frame, i) => frame.map((value, k) => Math.abs(value - cpu.pcm[i]![k]!)));
    expect(apart.length).toBeGreaterThan(3 * 1920);
    expect(Math.max(...apart)).toBeLessThan(1e-5);
  });

  it('that is lost ends its sessions with a reason, and the process goes on', { timeout: 240_000 }, async () => {
    // Steps are played as graphs by the time the conversation begins.
    const { events, idle, error } = await talk({ gpu: 0, slots: 2 }, { MOSHI_EMULATED_FAULT: 'cuGraphLaunch:60:700' });
    expect(error).toBeUndefined();
    expect(events).toEqual(['ENGINE_GPU_LOST', 'ENGINE_GPU_LOST']);
    // One that had nothing to do has lost what it remembers as well.
    expect(idle).toBe('ENGINE_GPU_LOST');
  });

  it('that runs out of memory while it loads says what would fit', { timeout: 240_000 }, async () => {
    const { error } = await talk({ gpu: 0, slots: 1 }, { MOSHI_EMULATED_FAULT: 'cuMemAlloc:40:2:lasting' });
    expect(error?.code).toBe('ENGINE_GPU_MEMORY');
    expect(error?.message).toMatch(/What would: embedded on cuda:0 .*gpu: false/);
  });

  it('is planned for by doctor', { timeout: 120_000 }, async () => {
    const { stdout } = await run(process.execPath, [moshi, 'doctor', '--quick'], {
      env: environment({ MOSHI_EMULATED_ARCH: '61', MOSHI_EMULATED_MEMORY: String(11 * 2 ** 30) }),
    });
    expect(stdout).toMatch(/cuda:0 {2}Emulated GPU, sm_61, Pascal 6\.1/);
    expect(stdout).toMatch(/plan {4}stt-1b: cuda:0, weights q8/);
  });
});

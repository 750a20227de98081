import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fixture } from './support/audio';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../../', import.meta.url));
const script = join(root, 'scripts', 'gpu.mjs');
const native = join(root, 'packages', 'engine-cuda', 'native', 'build');
const emulated = join(native, 'libcuda-emulated.so');
const { fewer, markdown, parityOf, POINTS, rows } = await import(join(root, 'scripts', 'gpu-report.mjs'));

const frame = { encode: 0.5, lm: 2, decode: 0.4, total: 2.9, ofRead: 0.8, gbps: 3000, overFewest: 1 };
const q8 = POINTS.find(({ name }: { name: string }) => name === 'PersonaPlex q8');
const many = POINTS.find(({ sessions }: { sessions: number[] }) => sessions.includes(128));

describe('the tables of npm run gpu', () => {
  it('hold frames against their floor and their target', () => {
    const report = { lm: { frames: [{ ...frame, sessions: 1 }] } };
    expect(rows(q8, report)).toMatchObject([{ frame: 2.9, floor: 1.6, overFloor: 1.25, target: 2.8, met: false }]);
    const fast = { lm: { frames: [{ ...frame, sessions: 1, total: 2.8 }] } };
    expect(rows(q8, fast)).toMatchObject([{ target: 2.8, targetOverFloor: expect.closeTo(1.75), met: true }]);
    const [one, most] = rows(many, {
      lm: { frames: [1, 128].map((sessions) => ({ ...frame, sessions, total: sessions })) },
    });
    expect(one).toMatchObject({ sessions: 1, target: null, met: null });
    expect(most).toMatchObject({ sessions: 128, target: 60, met: false });
    expect(rows({ name: 'Mimi' }, { lm: null, codec: [{ encode: 1, decode: 2 }] })).toMatchObject([
      { lm: null, frame: 3 },
    ]);
  });

  it('leave out the most sessions first', () => {
    expect(fewer([1, 8, 32])).toEqual([1, 8]);
    expect(fewer([1])).toBeUndefined();
  });

  it('count what golden cases found, and show what fell short', () => {
    const output = 'ok    a  b\nFAIL  a  c  off\nwithout graphs: no\n12 checks on cuda-sm_90, 1 failed\n';
    expect(parityOf(output)).toEqual({
      backend: 'cuda-sm_90',
      checks: 12,
      failed: 1,
      rows: ['FAIL  a  c  off'],
      note: 'without graphs: no',
    });
    expect(parityOf('parity: there is no NVIDIA driver\n')).toBeUndefined();
  });

  it('show what is known and a dash for what is not', () => {
    const text = markdown({
      machine: { platform: 'linux-x64', cpu: 'a CPU', node: '20.0.0', kernels: 'some' },
      gpu: { device: 'cuda:0', name: 'A GPU', arch: '90', memory: 8e10, driver: null, cuda: '12.4' },
      command: 'npm run gpu --',
      date: '2026-01-01',
      steps: [{ name: 'memcheck', result: 'left out', seconds: 0.04 }],
      benches: [
        {
          name: 'Mimi',
          copied: 2000,
          rows: rows({ name: 'Mimi' }, { lm: null, codec: [{ encode: 1, decode: 2 }] }),
          layers: [],
        },
        { name: 'q8', copied: 2000, rows: rows(q8, { lm: { frames: [{ ...frame, sessions: 1 }] } }), layers: [] },
      ],
    });
    expect(text).toContain('sm_90, 80.0 GB, driver unknown, CUDA 12.4');
    expect(text).toContain('| Mimi | 1 | 1.00 | – | 2.00 | 3.00 | – | – | – | – |  |');
    expect(text).toContain(
      '| PersonaPlex q8 | 1 | 0.50 | 2.00 | 0.40 | 2.90 | 1.60 | 1.25 | 1.00 | 2.8 (1.75 × floor) | missed |',
    );
  });
});

describe('npm run gpu', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'moshi-gpu-script-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.skipIf(existsSync('/dev/nvidiactl'))(
    'does nothing where there is no GPU, and fails where one is required',
    async () => {
      const { stdout } = await run(process.execPath, [script]);
      expect(stdout).toMatch(/^No GPU was tried: /);
      expect(await run(process.execPath, [script, '--require']).catch(({ code }) => code)).toBe(1);
    },
  );

  // `npm test` builds them before this runs.
  const built = ['libcuda-emulated.so', 'moshi.node', 'parity'].every((name) => existsSync(join(native, name)));
  it.skipIf(!built)(
    'runs golden cases and the bench on a GPU, here one of fibers',
    async () => {
      const kernels = join(folder, 'kernels');
      const env = {
        ...process.env,
        MOSHI_CUDA_LIBRARY: emulated,
        MOSHI_EMULATED_KERNELS: kernels,
        MOSHI_KERNELS: kernels,
        MOSHI_EMULATED_MEMORY: '1400000000',
      };
      // The library leaves its kernels there when it is opened.
      await run(join(native, 'parity'), ['--gpu', '0', '--kernels', kernels, fixture('sampling')], { env });
      const out = join(folder, 'out', 'report');
      await run(process.execPath, [script, '--small', '--out', out], { env });
      const [report] = JSON.parse(readFileSync(`${out}.json`, 'utf8'));
      expect(report.gpu).toMatchObject({ device: 'cuda:0', name: 'Emulated GPU, sm_80' });
      const results = report.steps.map(({ name, result }: { name: string; result: string }) => `${name}: ${result}`);
      expect(results[0]).toMatch(/^golden cases: \d+ checks, 0 failed$/);
      expect(results[1]).toMatch(/^golden cases, graphs off: \d+ checks, 0 failed$/);
      expect(results[2]).toMatch(/^golden cases, stages off: \d+ checks, 0 failed$/);
      const [{ rows: frames, report: bench }] = report.benches;
      expect(frames.map(({ sessions }: { sessions: number }) => sessions)).toEqual([1, 2]);
      for (const row of frames) expect(row.overFloor).toBeGreaterThan(0);
      expect(bench).toMatchObject({
        gpu: { graphs: 'on' },
        core: null,
        read: { oneThread: null },
        codec: [{ ofPeak: null }],
      });
      const text = readFileSync(`${out}.md`, 'utf8');
      expect(text).toContain('| tiny | 2 |');
      expect(text).toMatch(/^\| tiny \| [\d.]+ \| [\d.]+ \| [\d.]+ \| (one launch|apart) \|$/m);
    },
    180_000,
  );
});

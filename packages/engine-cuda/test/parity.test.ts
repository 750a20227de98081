import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { defaultModel, inspectHardware } from '../src';
import { fixture } from './support/audio';

const run = promisify(execFile);
const native = new URL('../native/', import.meta.url).pathname;
const CASES = [
  'mimi-tiny',
  'mimi-tiny-fork',
  'mimi-variant',
  'lm-moshi-tiny',
  'lm-personaplex-tiny',
  'lm-stt-tiny',
  'lm-variant',
  'lm-lora-tiny',
  'q8-tiny',
  'personaplex-expand',
  'torch-files',
  'sampling',
  'sentencepiece',
  'sentencepiece-variant',
];
// Of these, what can be run on fibers in a minute, each list by a process of its own. q8-tiny is not among them, since
// its inputs are not to be rounded, nor lm-variant, whose heads are too odd for a GPU.
const EMULATED = [
  ['lm-personaplex-tiny'],
  ['mimi-variant', 'lm-stt-tiny', 'lm-lora-tiny', 'personaplex-expand', 'lm-moshi-tiny'],
];
const EMULATED_QUICK = [['lm-stt-tiny', 'personaplex-expand']];
const folders = CASES.map(fixture).filter(existsSync);

// `npm test` builds them before this runs: as shipped, under ASan and UBSan, and the batch loop under TSan.
const binary = (build: string, name: string) => `${native}${build}/${name}`;

// At once, as many as vitest.config.ts says: most of them are one thread for minutes.
describe.concurrent.each(['build', 'build-sanitized'])('golden cases (%s)', (build) => {
  const parity = binary(build, 'parity');

  it.skipIf(!existsSync(parity))(
    'hold on every instruction set of this machine',
    async () => {
      for (const isa of (await inspectHardware()).cpu.isa) {
        const { stdout } = await run(parity, ['--isa', isa, '--threads', '2', ...folders]);
        expect(stdout).toMatch(new RegExp(`^[0-9]+ checks on cpu-${isa}, 0 failed$`, 'm'));
      }
    },
    600_000,
  );

  it.skipIf(!existsSync(parity))(
    'hold on a GPU made of fibers',
    async () => {
      const groups = build === 'build' ? EMULATED : EMULATED_QUICK;
      const outputs = await Promise.all(
        groups.map((cases) => run(parity, ['--emulated', '80', '--threads', '1', ...cases.map(fixture)])),
      );
      for (const { stdout } of outputs) expect(stdout).toMatch(/^[0-9]+ checks on cuda-sm_80, 0 failed$/m);
    },
    600_000,
  );

  it.skipIf(!existsSync(parity))('fail with exit code 1 when one does not hold', async () => {
    const failed = await run(parity, [fixture('nonexistent')]).catch((error) => error);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toMatch(/^FAIL/m);
  });
});

describe.concurrent.each(['build', 'build-sanitized', 'build-tsan'])('native checks (%s)', (build) => {
  it.skipIf(!existsSync(binary(build, 'checks')))(
    'hold for files, kernels, sampling and the batch loop',
    async () => {
      const images = new URL('../prebuilds/kernels', import.meta.url).pathname;
      const args = [await defaultModel(), fixture('.'), ...(existsSync(images) ? [images] : [])];
      const { stdout, stderr } = await run(binary(build, 'checks'), args);
      expect(stdout).toMatch(/^\d+ native checks passed, 0 failed$/m);
      expect(stderr).toBe('');
    },
    900_000,
  );
});

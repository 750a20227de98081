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
  'sampling',
  'sentencepiece',
  'sentencepiece-variant',
];
const folders = CASES.map(fixture).filter(existsSync);

// `npm test` builds both before this runs.
for (const build of ['build', 'build-sanitized']) {
  const binary = (name: string) => `${native}${build}/${name}`;
  describe.skipIf(!existsSync(binary('parity')))(`native checks (${build})`, () => {
    it('hold for every golden case on every instruction set of this machine', async () => {
      for (const isa of (await inspectHardware()).cpu.isa) {
        const { stdout } = await run(binary('parity'), ['--isa', isa, '--threads', '2', ...folders]);
        expect(stdout).toMatch(new RegExp(`^[0-9]+ checks on cpu-${isa}, 0 failed$`, 'm'));
      }
    }, 300_000);

    it('hold for files, kernels, sampling and the batch loop', async () => {
      const { stdout } = await run(binary('checks'), [await defaultModel()]);
      expect(stdout).toMatch(/^\d+ native checks passed, 0 failed$/m);
    }, 300_000);

    it('fail, with exit code 1, when a case does not hold', async () => {
      const failed = await run(binary('parity'), [fixture('nonexistent')]).catch((error) => error);
      expect(failed.code).toBe(1);
      expect(failed.stdout).toMatch(/^FAIL/m);
    });
  });
}

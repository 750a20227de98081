// The native checks and golden cases on arm64, with or without dotprod: cross-compiled here, run by an emulator.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, make } from './build.mjs';
import { ROOT, run, step } from './steps.mjs';

const ENGINE = join(ROOT, 'packages', 'engine-cuda');
const COMPILER = 'aarch64-linux-gnu-g++';
const EMULATOR = ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'];
// Inputs of tests that are no golden cases.
const NO_CASES = ['voices'];

async function missing() {
  const tools = [COMPILER, EMULATOR[0]];
  const found = await Promise.all(tools.map((tool) => run(tool, ['--version'], { quiet: true })));
  return tools.filter((_, i) => found[i].code !== 0);
}

/** Needs the packages built: the checks run a session of the embedded model. */
export async function arm64() {
  const lacking = await missing();
  if (lacking.length > 0) {
    console.log(`– arm64 skipped: no ${lacking.join(', no ')} (apt-get install g++-aarch64-linux-gnu qemu-user)`);
    return;
  }
  await make('build the native checks for arm64', 'tools', [`CXX=${COMPILER}`, 'BUILD=build-arm64']);
  const { defaultModel } = await import(pathToFileURL(join(ENGINE, 'dist', 'index.js')).href);
  const emulated = (name, program, args) =>
    step(name, EMULATOR[0], [...EMULATOR.slice(1), join(ENGINE, 'native', 'build-arm64', program), ...args], {
      env: { MOSHI_BRIEF_CHECKS: '1' },
    });
  await emulated('run them on arm64', 'checks', [await defaultModel()]);
  const fixtures = join(ENGINE, 'test', 'fixtures');
  const cases = readdirSync(fixtures).filter((name) => !NO_CASES.includes(name));
  const folders = cases.map((name) => join(fixtures, name));
  for (const isa of ['dotprod', 'baseline'])
    await emulated(`golden cases on arm64, ${isa}`, 'parity', ['--isa', isa, '--threads', '2', ...folders]);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await build();
  await arm64();
}

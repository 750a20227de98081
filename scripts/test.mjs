// npm test: installs, builds, then every check there is: format, types, native (also under sanitizers, on arm64 and on Windows), TypeScript, docs,
// packages as they would be published, tests.
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { arm64 } from './arm64.mjs';
import { build, make } from './build.mjs';
import { kernelSize } from './kernels.mjs';
import { packages } from './packages.mjs';
import { ROOT, run, step } from './steps.mjs';
import { windows } from './windows.mjs';

const bin = (name, path) => join(ROOT, 'node_modules', name, path);
const node = (name, script, args, options) => step(name, process.execPath, [script, ...args], options);

await build();
const addon = statSync(join(ROOT, 'packages', 'engine-cuda', 'native', 'build', 'moshi.node')).size;
console.log(`– moshi.node ${(addon / 1e6).toFixed(1)} MB, ${kernelSize()}`);
await make('build the native checks', 'tools');
await make('build them with ASan and UBSan', 'checks', ['SANITIZE=address,undefined']);
await make('build them with TSan', 'build-tsan/checks', ['SANITIZE=thread', 'BUILD=build-tsan']);
// At once: an emulated CPU is one thread for minutes.
await Promise.all([arm64(), windows()]);
await node('format and lint TypeScript', bin('@biomejs/biome', 'bin/biome'), ['check', '.']);
await node('format of C++', join(ROOT, 'scripts', 'format-native.mjs'), ['--check']);
await node('types', bin('typescript', 'bin/tsc'), ['-p', 'tsconfig.json', '--noEmit']);
await node('API reference', bin('typedoc', 'bin/typedoc'), ['--treatWarningsAsErrors']);
await node('what the client weighs', join(ROOT, 'scripts', 'size.mjs'), []);
await packages();

const report = join(ROOT, 'out', 'tests.json');
rmSync(report, { force: true });
const { code } = await run(process.execPath, [
  bin('vitest', 'vitest.mjs'),
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
]);
const {
  numPassedTests: passed,
  numFailedTests: failed,
  numPendingTests: skipped,
} = JSON.parse(readFileSync(report, 'utf8'));
console.log(`\n${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exit(code);

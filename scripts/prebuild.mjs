// Before packing @moshi/engine-cuda: puts the addon built here where the package looks for its platform's, if it goes with the
// GPU kernels there, and says how large both are.
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprintOf, KERNELS, kernelSize } from './kernels.mjs';
import { fail, ROOT, run } from './steps.mjs';

const engine = join(ROOT, 'packages', 'engine-cuda');
const built = join(engine, 'native', 'build', 'moshi.node');
if (!existsSync(built)) fail('native/build/moshi.node is missing: run `npm run build` first.');
const kernels = fingerprintOf(KERNELS);
if (kernels && !readFileSync(built).includes(kernels))
  fail('native/build/moshi.node would refuse the GPU kernels in prebuilds/kernels: run `npm run build` first.');
const folder = join(engine, 'prebuilds', `${process.platform}-${process.arch}`);
mkdirSync(folder, { recursive: true });
copyFileSync(built, join(folder, 'moshi.node'));
// Line numbers are for this machine; users get a third of the size.
await run('strip', [process.platform === 'darwin' ? '-x' : '--strip-unneeded', join(folder, 'moshi.node')], {
  quiet: true,
});
// Not to standard output, where `npm pack --json` writes.
console.error(`moshi.node ${(statSync(join(folder, 'moshi.node')).size / 1e6).toFixed(1)} MB, ${kernelSize()}`);

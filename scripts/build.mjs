// npm run build: the native engine and every package, only what changed since the last time.
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { findCompiler, kernelsAreFresh, NO_COMPILER } from './kernels.mjs';
import { checkTools, install, newest, ROOT, step } from './steps.mjs';

const NATIVE = join(ROOT, 'packages', 'engine-cuda', 'native');
// Each after those it needs; @moshi/opus is bundled into client and server.
const PACKAGES = ['protocol', 'client', 'server', 'engine-cuda', 'cli'];
const WEB = join(ROOT, 'packages', 'web');

/** Arguments that tell the Makefile where Node-API's headers are: in npm packages, so nothing is downloaded. */
export const NODE_API = `NODE_API=${['node-addon-api', 'node-api-headers/include']
  .map((name) => join(ROOT, 'node_modules', name).replaceAll('\\', '/'))
  .join(' ')}`;

export function make(name, target, extra = []) {
  return step(name, 'make', ['-C', NATIVE, '-j', '2', NODE_API, ...extra, target]);
}

function isFresh(name) {
  const folder = join(ROOT, 'packages', name);
  const { main } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const output = join(folder, main ?? 'dist/index.js');
  if (!existsSync(output)) return false;
  const sources = ['src', 'package.json', 'tsup.config.ts'].map((part) => join(folder, part));
  sources.push(join(ROOT, 'tsup.base.ts'));
  if (name === 'client' || name === 'server') sources.push(join(ROOT, 'packages', 'opus', 'src'));
  if (name !== 'protocol') sources.push(join(ROOT, 'packages', 'protocol', 'src'));
  return statSync(output).mtimeMs > Math.max(...sources.map(newest));
}

export async function buildPackage(name) {
  if (isFresh(name)) return;
  rmSync(join(ROOT, 'packages', name, 'dist'), { recursive: true, force: true });
  const tsup = join(ROOT, 'node_modules', 'tsup', 'dist', 'cli-default.js');
  await step(`build @moshi/${name}`, process.execPath, [tsup], { cwd: join(ROOT, 'packages', name) });
}

/** The page that the server ships; after the server, whose build empties the folder it goes to. */
async function buildWeb() {
  const page = join(ROOT, 'packages', 'server', 'dist', 'page', 'index.html');
  const sources = ['src', 'index.html', 'build.mjs', 'package.json'].map((part) => join(WEB, part));
  // Bundled as they were built.
  sources.push(...['protocol', 'client'].map((name) => join(ROOT, 'packages', name, 'dist')));
  if (existsSync(page) && statSync(page).mtimeMs > Math.max(...sources.map(newest))) return;
  await step('build the page', process.execPath, [join(WEB, 'build.mjs')]);
}

/** A build without them runs on the CPU alone, so they are no reason to fail. */
async function buildKernels() {
  if (await kernelsAreFresh()) return;
  if (!(await findCompiler())) return console.log(`– GPUs will not be used by this build: ${NO_COMPILER}`);
  await step('build the GPU kernels', process.execPath, [join(ROOT, 'scripts', 'kernels.mjs'), '--ptx']);
}

/** `kernels`: whether those for GPUs are, too; `jobs`: what make is told of how many at once. */
export async function build({ kernels = true, jobs = [] } = {}) {
  await checkTools();
  await install();
  await make('build the native engine', 'addon', jobs);
  if (kernels) await buildKernels();
  for (const name of PACKAGES) await buildPackage(name);
  await buildWeb();
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await build();

// The GPU kernels as the package ships them, in prebuilds/kernels: PTX by Debian's clang and none of NVIDIA's files, one per
// generation, which any later driver takes, and per form of weights where kernels have forms; where nvcc is there also machine code, which spares users the driver's compiler;
// and kernels.json, which kernel is in which file and of which sources they all are. --ptx: PTX alone, as `npm run build` makes
// it. Without, where ptxas is there, it also says what a thread takes, and a kernel that spills registers, or has an array that
// no registers hold, is an error.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { fail, newest, ROOT, run } from './steps.mjs';

const SCRIPT = join(ROOT, 'scripts', 'kernels.mjs');
const ENGINE = join(ROOT, 'packages', 'engine-cuda');
const NATIVE = join(ENGINE, 'native');
export const KERNELS = join(ENGINE, 'prebuilds', 'kernels');
const WORK = join(NATIVE, 'build', 'kernels');
const COMPILERS = ['clang++-22', 'clang++-19', 'clang++'];
const OLDEST_CLANG = 19;
// The lowest PTX version that has what gpu.h uses there: the lower, the older the driver may be.
const TARGETS = [
  { arch: 61, ptx: 60 },
  { arch: 75, ptx: 65 },
  { arch: 80, ptx: 70 },
  { arch: 90, ptx: 78 },
  { arch: 120, ptx: 87 },
];
// The oldest that a ptxas of CUDA 13 assembles for; PTX of older ones is checked as this.
const OLDEST_ASSEMBLED = 75;
// What machine code is made for: it runs within its own major generation, on this GPU and later ones.
const MACHINE_CODE = [75, 80, 86, 89, 90, 100, 120];

export const NO_COMPILER =
  'no clang that makes PTX was found. On Debian or Ubuntu:\n  sudo apt-get update && sudo apt-get install -y clang-19';

const flags = ({ arch, ptx }) => [
  ...['-x', 'cuda', '--cuda-device-only', '-nocudainc', '-nocudalib', '--cuda-path=none', '-S', '-std=c++20', '-O3'],
  ...['-Wall', '-Wextra', '-Werror', `--cuda-gpu-arch=sm_${arch}`, `--cuda-feature=+ptx${ptx}`, `-I${NATIVE}`],
];

/** The first of the compilers that is new enough and makes PTX at all, or undefined. */
export async function findCompiler() {
  for (const compiler of COMPILERS) {
    const { output: version } = await run(compiler, ['--version'], { quiet: true });
    const { output: targets } = await run(compiler, ['--print-targets'], { quiet: true });
    if (Number(/clang version (\d+)/.exec(version)?.[1]) >= OLDEST_CLANG && targets.includes('nvptx64'))
      return compiler;
  }
  return undefined;
}

/** What the images in a folder are made of, or undefined where there are none. */
export function fingerprintOf(folder) {
  const index = join(folder, 'kernels.json');
  return existsSync(index) ? JSON.parse(readFileSync(index, 'utf8')).fingerprint : undefined;
}

/** The same of the sources, as the addon has it when it is built of them. */
async function fingerprint() {
  const { code, output } = await run('make', ['-s', '-C', NATIVE, 'fingerprint'], { quiet: true });
  return code === 0 ? output.trim() : fail(`The sources of the GPU kernels cannot be listed:\n${output}`);
}

/** Whether the images are those that this script makes of the sources. */
export async function kernelsAreFresh() {
  const made = fingerprintOf(KERNELS);
  if (!made || statSync(join(KERNELS, 'kernels.json')).mtimeMs < newest(SCRIPT)) return false;
  return made === (await fingerprint());
}

/** One line on what of the package GPUs take. */
export function kernelSize() {
  const files = existsSync(KERNELS) ? readdirSync(KERNELS) : [];
  if (files.length === 0) return 'no GPU kernels';
  const contents = files.map((name) => readFileSync(join(KERNELS, name)));
  const total = (bytes) => `${(bytes.reduce((sum, each) => sum + each.length, 0) / 1e6).toFixed(1)} MB`;
  const count = (kind) => files.filter((name) => name.endsWith(kind)).length;
  const packed = total(contents.map((content) => gzipSync(content)));
  return `GPU kernels ${total(contents)}, ${packed} packed: ${count('.ptx')} of PTX, ${count('.cubin')} of machine code`;
}

async function there(tool) {
  return (await run(tool, ['--version'], { quiet: true })).code === 0;
}

/** As many tasks at once as there are CPUs. */
async function all(tasks) {
  const waiting = [...tasks];
  const worker = async () => {
    for (let task = waiting.shift(); task; task = waiting.shift()) await task();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

/** Registers of the hungriest kernel, after a look at what spills. */
async function assembled(ptx, { arch }) {
  const known = Math.max(arch, OLDEST_ASSEMBLED);
  const { code, output } = await run('ptxas', ['-v', `-arch=sm_${known}`, '-o', '/dev/null', ptx], { quiet: true });
  if (code !== 0) fail(`ptxas refuses ${relative(ROOT, ptx)}:\n${output}`);
  const spilled = [...output.matchAll(/(\d+) bytes (?:stack frame|spill stores|spill loads)/g)].some(
    ([, bytes]) => bytes !== '0',
  );
  if (spilled) fail(`A kernel of ${relative(ROOT, ptx)} keeps in memory what should be in registers:\n${output}`);
  return Math.max(...[...output.matchAll(/Used (\d+) registers/g)].map(([, count]) => Number(count)));
}

/** The forms of weights, as the kernels' own list has them. */
function forms() {
  const list = readFileSync(join(NATIVE, 'cuda', 'kernels', 'linear.h'), 'utf8');
  return [...list.matchAll(/EACH\(\w+, (\w+)\)/g)].map(([, form]) => form);
}

/** What is to be compiled of a folder: a source as it is, or for each form where it says GPU_OF_FORM. */
function units(folder) {
  const sources = readdirSync(join(NATIVE, folder)).filter((name) => name.endsWith('.cu'));
  return sources.flatMap((file) => {
    const source = join(NATIVE, folder, file);
    const name = basename(file, '.cu');
    if (!readFileSync(source, 'utf8').includes('GPU_OF_FORM(')) return [{ name, source, defines: [] }];
    return forms().map((form) => ({
      name: `${name}.${form}`,
      source,
      defines: forms().map((each) => `-DGPU_FORM_${each}=${each === form ? 'GPU_ALONE' : 'GPU_LEFT_OUT'}`),
    }));
  });
}

function row(name, arch, size, registers) {
  console.log(`${name.padEnd(18)} ${arch.padEnd(7)} ${String(size).padStart(8)} ${String(registers).padStart(10)}`);
}

async function compile(compiler, assembler, { name, source, defines }, target, folder) {
  const arch = `sm_${target.arch}`;
  const ptx = join(folder, `${name}.${arch}.ptx`);
  const { code, output } = await run(compiler, [...flags(target), ...defines, '-o', ptx, source], { quiet: true });
  if (code !== 0) fail(`${name} does not compile for ${arch}:\n${output}`);
  // Of kernels that this generation or form does not have.
  if (!readFileSync(ptx, 'utf8').includes('.entry ')) return rmSync(ptx);
  row(name, arch, statSync(ptx).size, assembler ? await assembled(ptx, target) : '');
}

async function compileToMachineCode({ name, source, defines }, arch, folder) {
  const cubin = join(folder, `${name}.sm_${arch}.cubin`);
  // As clang does anyway, nvcc takes what is constexpr for the GPU's as well.
  const how = ['-cubin', '-std=c++20', '-O3', '--expt-relaxed-constexpr', `-arch=sm_${arch}`, `-I${NATIVE}`];
  const { code, output } = await run('nvcc', [...how, ...defines, '-o', cubin, source], { quiet: true });
  if (code !== 0) fail(`${name} does not compile for sm_${arch} with nvcc:\n${output}`);
  row(name, `sm_${arch}`, statSync(cubin).size, 'nvcc');
}

/** Which kernel is in which file, by what the PTX says. */
function index(folder) {
  const out = {};
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.ptx')))
    for (const [, kernel] of readFileSync(join(folder, name), 'utf8').matchAll(/\.entry (\w+)/g))
      out[kernel] = name.replace(/\.sm_\d+\.ptx$/, '');
  return Object.fromEntries(Object.entries(out).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function build({ onlyPtx }) {
  const compiler = await findCompiler();
  if (!compiler) fail(`The GPU kernels cannot be built: ${NO_COMPILER}`);
  const assembler = !onlyPtx && (await there('ptxas'));
  const nvcc = !onlyPtx && (await there('nvcc'));
  console.log(
    [compiler, ...(assembler ? ['ptxas'] : []), ...(nvcc ? ['nvcc'] : [])].join(', ') +
      (onlyPtx || assembler ? '' : '; no ptxas, so nothing is assembled'),
  );
  row('kernels', 'arch', 'bytes', assembler ? 'registers' : '');
  // Before they are read, lest one that changes meanwhile be taken for what was compiled.
  const made = await fingerprint();
  // Put in place at the end, so that no build that broke off leaves half of them there.
  const images = join(WORK, 'images');
  const words = join(WORK, 'words');
  rmSync(WORK, { recursive: true, force: true });
  for (const folder of [images, words]) mkdirSync(folder, { recursive: true });

  const known = [];
  for (const target of TARGETS) {
    const { code } = await run(compiler, [...flags(target), '-o', '/dev/null', '/dev/null'], { quiet: true });
    if (code === 0) known.push(target);
    else row('–', `sm_${target.arch}`, '', `${compiler} does not know it`);
  }
  const shipped = units(join('cuda', 'kernels'));
  await all([
    ...known.flatMap((target) => shipped.map((unit) => () => compile(compiler, assembler, unit, target, images))),
    // Kernels of tests use every word of gpu.h once, and are not shipped.
    ...(onlyPtx ? [] : known).flatMap((target) =>
      units('tests').map((unit) => () => compile(compiler, assembler, unit, target, words)),
    ),
  ]);
  // Of what has PTX for a GPU.
  const ofPtx = ({ name }, arch) =>
    existsSync(join(images, `${name}.sm_${known.findLast((target) => target.arch <= arch)?.arch}.ptx`));
  await all(
    (nvcc ? MACHINE_CODE : []).flatMap((arch) =>
      shipped.filter((unit) => ofPtx(unit, arch)).map((unit) => () => compileToMachineCode(unit, arch, images)),
    ),
  );
  const contents = { fingerprint: made, kernels: index(images) };
  writeFileSync(join(images, 'kernels.json'), `${JSON.stringify(contents, null, 1)}\n`);
  rmSync(KERNELS, { recursive: true, force: true });
  mkdirSync(join(ENGINE, 'prebuilds'), { recursive: true });
  renameSync(images, KERNELS);
  console.log(kernelSize());
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  await build({ onlyPtx: process.argv.includes('--ptx') });

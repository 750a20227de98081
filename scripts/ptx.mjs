// The GPU kernels as PTX, by Debian's clang and none of NVIDIA's files: one per generation, any later driver takes it.
// Where ptxas is there, it assembles each and says what a thread takes; a kernel that spills registers, or has an array
// that no registers hold, is an error.
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fail, ROOT, run } from './steps.mjs';

const NATIVE = join(ROOT, 'packages', 'engine-cuda', 'native');
const OUT = join(NATIVE, 'build', 'ptx');
const COMPILERS = ['clang++-22', 'clang++-19', 'clang++'];
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

const flags = ({ arch, ptx }) => [
  ...['-x', 'cuda', '--cuda-device-only', '-nocudainc', '-nocudalib', '--cuda-path=none', '-S', '-std=c++20', '-O3'],
  ...['-Wall', '-Wextra', '-Werror', `--cuda-gpu-arch=sm_${arch}`, `--cuda-feature=+ptx${ptx}`, `-I${NATIVE}`],
];

/** The first of these compilers that makes PTX at all. */
async function findCompiler() {
  for (const compiler of COMPILERS) {
    const { code, output } = await run(compiler, ['--print-targets'], { quiet: true });
    if (code === 0 && output.includes('nvptx64')) return compiler;
  }
  fail(
    'No clang that makes PTX was found. On Debian or Ubuntu:\n  sudo apt-get update && sudo apt-get install -y clang-19',
  );
}

async function knows(compiler, target) {
  const { code } = await run(compiler, [...flags(target), '-o', '/dev/null', '/dev/null'], { quiet: true });
  return code === 0;
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

const compiler = await findCompiler();
const assembler = (await run('ptxas', ['--version'], { quiet: true })).code === 0;
rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
console.log(`${compiler}${assembler ? ' and ptxas' : '; no ptxas, so nothing is assembled'}`);
console.log(`${'kernels'.padEnd(16)} ${'arch'.padEnd(7)} ${'bytes'.padStart(7)}${assembler ? '  registers' : ''}`);

// The last of them is no kernel of ours: it uses every word of gpu.h once.
const sources = [join('cuda', 'kernels'), 'tests'].flatMap((folder) =>
  readdirSync(join(NATIVE, folder))
    .filter((name) => name.endsWith('.cu'))
    .map((name) => join(NATIVE, folder, name)),
);
for (const target of TARGETS) {
  const arch = `sm_${target.arch}`;
  if (!(await knows(compiler, target))) {
    console.log(`${'–'.padEnd(16)} ${arch.padEnd(7)} ${compiler} does not know it`);
    continue;
  }
  for (const source of sources) {
    const name = basename(source, '.cu');
    const ptx = join(OUT, `${name}.${arch}.ptx`);
    const { code, output } = await run(compiler, [...flags(target), '-o', ptx, source], { quiet: true });
    if (code !== 0) fail(`${name} does not compile for ${arch}:\n${output}`);
    const registers = assembler ? String(await assembled(ptx, target)).padStart(11) : '';
    console.log(`${name.padEnd(16)} ${arch.padEnd(7)} ${String(statSync(ptx).size).padStart(7)}${registers}`);
  }
}

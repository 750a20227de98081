// npm run gpu -- [--gpu 0,1|all] [--out FILE] [--minutes N] [--small] [--require]: everything that only a GPU can show, in
// under ten minutes: the golden cases, NVIDIA's sanitizers where they are installed, and the bench at its points, with what
// is asked of them beside. Writes FILE.md and FILE.json. Exits 1 when a step failed, and 0 on a machine without a GPU, unless
// one is required. Images in prebuilds/kernels are used as they are.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build, make } from './build.mjs';
import { fewer, markdown, POINTS, POSITION, parityOf, rows, SMALL_POINTS } from './gpu-report.mjs';
import { KERNELS, kernelSize } from './kernels.mjs';
import { checkTools, fail, install, ROOT, run } from './steps.mjs';

const { values: options } = parseArgs({
  options: {
    gpu: { type: 'string', default: 'first' },
    out: { type: 'string', default: join(ROOT, 'out', 'gpu') },
    minutes: { type: 'string', default: '10' },
    small: { type: 'boolean', default: false },
    require: { type: 'boolean', default: false },
  },
});
const ENGINE = join(ROOT, 'packages', 'engine-cuda');
const FIXTURES = join(ENGINE, 'test', 'fixtures');
const PARITY = join(ENGINE, 'native', 'build', 'parity');
const MOSHI = join(ROOT, 'packages', 'cli', 'bin', 'moshi.js');
const kernels = process.env.MOSHI_KERNELS || KERNELS;
// What a driver makes: on Linux, under Windows, and on boards that share their memory.
const DEVICES = ['/dev/nvidiactl', '/dev/dxg', '/dev/nvhost-ctrl-gpu', '/dev/nvgpu'];
// A small language model and a small codec: a sanitizer makes them a hundred times slower.
const SANITIZED = ['lm-variant', 'mimi-variant'];
// The first golden cases may wait for the driver, which compiles PTX once for a GPU.
const SECONDS = { probe: 60, parity: 180, sanitizer: 120, bench: 150 };

const started = Date.now();
const left = () => Number(options.minutes) * 60 - (Date.now() - started) / 1000;

function without(reason) {
  console.log(`No GPU was tried: ${reason}`);
  process.exit(options.require ? 1 : 0);
}

/** What a child printed to standard output and whether it ended well, within its seconds and the script's. */
async function limited(command, args, seconds) {
  const most = Math.min(seconds, left());
  if (most < 1) return { code: 1, output: '', problem: `left out: ${options.minutes} minutes are over` };
  const { code, output, timedOut } = await run(command, args.map(String), { quiet: true, timeout: most * 1000 });
  const problem = timedOut ? `stopped after ${most.toFixed(0)} s` : code === 0 ? undefined : `exit code ${code}`;
  return { code, output, problem };
}

/** One line of a child's words that says most. */
const gist = (output) => output.trim().split('\n').at(-1)?.slice(0, 200) ?? '';

/** A list of what was done, printed as it grows. */
class Steps {
  list = [];
  failed = false;
  async add(name, work) {
    const at = Date.now();
    let step;
    try {
      step = await work();
    } catch (error) {
      step = { result: `failed: ${error.message}`, failed: true };
    }
    this.failed ||= step.failed === true;
    this.list.push({ name, ...step, seconds: (Date.now() - at) / 1000 });
    console.log(`${step.failed ? '✗' : step.skipped ? '–' : '✓'} ${name.padEnd(34)} ${step.result}`);
    if (step.details) console.log(step.details);
  }
}

async function findGpus() {
  const { inspectHardware } = await import(pathToFileURL(join(ENGINE, 'dist', 'index.js')).href);
  const { gpus, gpuProblem } = await inspectHardware({ timeoutMs: SECONDS.probe * 1000 });
  if (gpus.length === 0) without(gpuProblem?.message ?? 'the driver shows none');
  if (options.gpu === 'first') return gpus.slice(0, 1);
  if (options.gpu === 'all') return gpus;
  return options.gpu.split(',').map((wanted) => {
    const gpu = gpus.find(({ index }) => String(index) === wanted);
    return gpu ?? fail(`There is no GPU ${wanted}: the driver shows ${gpus.map(({ index }) => index).join(', ')}.`);
  });
}

// Left out: whether work is recorded, or small layers are launched together; '' leaves neither out.
async function parity(index, left, cases) {
  const args = ['--gpu', index, '--kernels', kernels, ...(left ? [`--${left}`, 'off'] : []), ...cases];
  const { output, problem } = await limited(PARITY, args, SECONDS.parity);
  const found = parityOf(output);
  if (!found) return { result: `failed: ${problem ?? 'no result'}; ${gist(output)}`, failed: true };
  const result = `${found.checks} checks, ${found.failed} failed`;
  // What was asked for and could not be had is a failure of this step: nothing was shown of it.
  if (found.note) return { result: `${result}; ${found.note}`, failed: true };
  return { result, failed: problem !== undefined, ...(found.rows.length > 0 && { details: found.rows.join('\n') }) };
}

async function sanitizer() {
  for (const name of ['compute-sanitizer', '/usr/local/cuda/bin/compute-sanitizer'])
    if ((await run(name, ['--version'], { quiet: true })).code === 0) return name;
  return undefined;
}

async function sanitize(command, tool, index) {
  if (!command) return { result: 'left out: compute-sanitizer is not installed', skipped: true };
  const args = ['--tool', tool, '--error-exitcode', '99', '--target-processes', 'application-only'];
  const cases = SANITIZED.map((name) => join(FIXTURES, name));
  const { code, output, problem } = await limited(
    command,
    [...args, PARITY, '--gpu', index, '--kernels', kernels, '--graphs', 'off', ...cases],
    SECONDS.sanitizer,
  );
  const summary = [...output.matchAll(/^=+ ((?:ERROR|RACECHECK) SUMMARY: .*)$/gm)].at(-1)?.[1];
  if (code === 0) return { result: summary ?? 'nothing found' };
  const details = output.split('\n').filter((line) => line.startsWith('=') || line.startsWith('FAIL'));
  return { result: `failed: ${summary ?? problem}`, failed: true, details: details.slice(0, 40).join('\n') };
}

async function measure(point, device) {
  let sessions = point.sessions;
  for (;;) {
    const args = ['--model', point.model, '--device', device, '--weights', point.weights, '--kv', point.kv];
    args.push('--sessions', sessions.join(','), '--position', POSITION, '--frames', point.frames ?? 100, '--json');
    if (!point.layers) args.push('--no-layers');
    const { output, problem } = await limited(process.execPath, [MOSHI, 'bench', ...args], SECONDS.bench);
    const json = output.split('\n').find((line) => line.startsWith('{"model"'));
    if (json) return { sessions, report: JSON.parse(json) };
    // A smaller GPU shows what fits into it.
    const less = /memory/i.test(output) ? fewer(sessions) : undefined;
    if (!less) throw new Error(`${problem ?? 'no result'}; ${gist(output)}`);
    sessions = less;
  }
}

async function onGpu(gpu, machine) {
  const { index } = gpu;
  const device = `cuda:${index}`;
  console.log(
    `\n${device}: ${gpu.name}, compute capability ${gpu.computeCapability}, driver ${gpu.driver ?? 'unknown'}`,
  );
  const steps = new Steps();
  // Folders of golden cases, whatever their kind; those of voices and of recordings have no expectations.
  const cases = readdirSync(FIXTURES)
    .map((name) => join(FIXTURES, name))
    .filter((folder) => ['expected.safetensors', 'cases.json'].some((file) => existsSync(join(folder, file))));
  const some = options.small ? [join(FIXTURES, SANITIZED[1])] : cases;
  for (const left of ['', 'graphs', 'stages'])
    await steps.add(`golden cases${left && `, ${left} off`}`, () => parity(index, left, some));
  const command = await sanitizer();
  for (const tool of ['memcheck', 'racecheck']) await steps.add(tool, () => sanitize(command, tool, index));
  const benches = [];
  for (const point of options.small ? SMALL_POINTS : POINTS)
    await steps.add(`bench ${point.name}`, async () => {
      const { sessions, report } = await measure(point, device);
      const found = { name: point.name, copied: report.read.gbps, rows: rows(point, report), layers: report.layers };
      benches.push({ ...found, report });
      const { frame, lm } = found.rows[0];
      const short = sessions.length < point.sessions.length ? `; ${point.sessions.at(-1)} sessions do not fit` : '';
      const model = lm === null ? '' : `, ${lm.toFixed(2)} ms of it the model`;
      return { result: `${frame.toFixed(2)} ms a frame${model}${short}` };
    });
  const report = {
    machine,
    gpu: {
      ...{ device, name: gpu.name, arch: gpu.computeCapability.replace('.', ''), driver: gpu.driver },
      ...{ memory: gpu.memory.totalBytes, cuda: gpu.cuda },
    },
    command: ['npm run gpu --', ...process.argv.slice(2)].join(' '),
    date: new Date().toISOString(),
    steps: steps.list,
    benches,
  };
  return { report, failed: steps.failed };
}

if (!process.env.MOSHI_CUDA_LIBRARY && !DEVICES.some(existsSync))
  without(`there is none of ${DEVICES.join(', ')}, which NVIDIA's driver makes`);
await checkTools();
await install();
const jobs = [`-j${availableParallelism()}`];
// The kernels are built only where there are none at all: those of a package are tried as they came.
await build({ kernels: !existsSync(join(kernels, 'kernels.json')), jobs });
await make('build the parity checker', 'build/parity', jobs);
if (!existsSync(join(kernels, 'kernels.json')))
  fail(`There are no GPU kernels in ${kernels}: install clang-19, or copy prebuilds/kernels of a machine that has it.`);

const gpus = await findGpus();
const machine = {
  platform: `${process.platform}-${process.arch}`,
  cpu: cpus()[0]?.model ?? 'an unknown CPU',
  node: process.versions.node,
  kernels: process.env.MOSHI_KERNELS ? relative(ROOT, kernels) : kernelSize(),
};
const reports = [];
let failed = false;
for (const gpu of gpus) {
  const { report, failed: fell } = await onGpu(gpu, machine);
  reports.push(report);
  failed ||= fell;
}
const out = resolve(process.env.INIT_CWD ?? process.cwd(), options.out);
mkdirSync(dirname(out), { recursive: true });
const text = reports.map(markdown).join('\n');
writeFileSync(`${out}.md`, text);
writeFileSync(`${out}.json`, `${JSON.stringify(reports, null, 1)}\n`);
console.log(`\n${text}\nwritten to ${out}.md and ${out}.json`);
process.exit(failed ? 1 : 0);

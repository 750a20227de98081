import { spawn } from 'node:child_process';
import { addonPath, type NativeGpuReport } from '../native';
import { type GpuProbe, type GpuProblem, gpuProbe } from './gpu';

/** What {@link probeGpus} may be told. */
export interface ProbeOptions {
  /** How long the driver may take, in milliseconds. */
  timeoutMs: number;
  /** Names of the driver's libraries; tests bring their own. */
  libraries?: { cuda?: string; nvml?: string };
}

const MARK = 'moshi-gpus:';
const MOST_OUTPUT = 1 << 20;

// The driver may write to stdout as well, so the answer is marked.
const PROGRAM = `
const [addon, libraries] = process.argv.slice(1);
const report = require(addon).probeGpus(JSON.parse(libraries));
process.stdout.write('\\n${MARK}' + JSON.stringify(report) + '\\n', () => process.exit(0));`;

/** Asks the driver what GPUs there are, in a process of its own: a driver that crashes or hangs takes that one along. */
export function probeGpus({ timeoutMs, libraries = {} }: ProbeOptions): Promise<GpuProbe> {
  const child = spawn(process.execPath, ['-e', PROGRAM, addonPath(), JSON.stringify(libraries)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Options of the host, a debugger for one, are not meant for this process; Electron is to be Node.
    env: { ...process.env, NODE_OPTIONS: '', ELECTRON_RUN_AS_NODE: '1' },
    windowsHide: true,
  });
  return new Promise((resolve) => {
    let output = '';
    let complaint = '';
    const end = (result: GpuProbe) => {
      clearTimeout(timer);
      // A process inside a hanging driver may outlive its SIGKILL; nobody waits for it.
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve(result);
    };
    const timer = setTimeout(() => end(failed('GPU_PROBE_TIMED_OUT', hang(timeoutMs))), timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-MOST_OUTPUT);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-400);
    });
    child.on('error', (error) => end(failed('GPU_PROBE_CRASHED', `the probe did not start: ${error.message}`)));
    child.on('close', (status, signal) => {
      const report = answer(output);
      end(report ? gpuProbe(report) : failed('GPU_PROBE_CRASHED', crash(signal ?? `status ${status}`, complaint)));
    });
  });
}

function answer(output: string): NativeGpuReport | undefined {
  const at = output.lastIndexOf(`\n${MARK}`);
  if (at < 0) return undefined;
  try {
    return JSON.parse(output.slice(at + 1 + MARK.length).split('\n', 1)[0]!) as NativeGpuReport;
  } catch {
    return undefined;
  }
}

function failed(code: GpuProblem['code'], message: string): GpuProbe {
  return { gpus: [], problem: { code, message } };
}

function crash(how: string, complaint: string): string {
  const last = complaint
    .trim()
    .split('\n')
    .at(-1)
    ?.replace(/[^ -~]/g, '?')
    .slice(0, 100);
  const why = last ? `, ${last}` : '';
  return `the NVIDIA driver crashed while it was asked for its GPUs (${how}${why}): see whether \`nvidia-smi\` works, and install the driver anew`;
}

function hang(timeoutMs: number): string {
  return `the NVIDIA driver did not answer within ${timeoutMs} ms: see whether \`nvidia-smi\` works, and restart the machine if it hangs too`;
}

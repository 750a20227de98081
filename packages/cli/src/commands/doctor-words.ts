import type { Gpu, Hardware, Outlook, Plan } from '@moshi/engine-cuda';
import type { DoctorReport } from './doctor';

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
const speed = (bytes: number | null | undefined) => (bytes ? `${(bytes / 1e9).toFixed(0)} GB/s` : undefined);
const counted = (sessions: number) => `${sessions} session${sessions === 1 ? '' : 's'}`;
const listed = (...parts: (string | undefined)[]) => parts.filter((part) => part).join(', ');

/** The report of `moshi doctor`, a line for each thing. */
export function inWords({ machine, gpusRun, outlook, model, problems }: DoctorReport): string {
  const lines: [string, string][] = [];
  if (machine) lines.push(...machineLines(machine, gpusRun));
  for (const one of outlook ?? []) lines.push(...outlookLines(one, gpusRun));
  if (model) lines.push(['model', `the default model (${model.name}) loads, in ${model.loadMs} ms`]);
  for (const problem of problems) lines.push(['problem', problem]);
  return lines.map(([name, value]) => `${name.padEnd(8)}${value}\n`).join('');
}

function machineLines({ cpu, memory, gpus, gpuProblem, ...machine }: Hardware, gpusRun: boolean): [string, string][] {
  const lines: [string, string][] = [
    ['system', `${machine.platform}, Node ${machine.node}`],
    ['cpu', `${cpu.model}, ${cpu.threads} threads, runs ${cpu.isa.join(', ')}`],
    [
      'memory',
      listed(
        gigabytes(memory.totalBytes),
        `${gigabytes(memory.freeBytes)} free`,
        memory.bandwidth ? `read at ${speed(memory.bandwidth)}` : undefined,
      ),
    ],
    ...gpus.flatMap(gpuLines),
  ];
  if (gpuProblem) lines.push(['gpu', gpuProblem.message]);
  if (gpus.length > 0 && !gpusRun) {
    lines.push(['', 'this version sees and plans for GPUs, but runs every model on the CPU']);
  }
  lines.push(['uses', `${cpu.used} kernels on ${cpu.engineThreads} threads`]);
  return lines;
}

function gpuLines(gpu: Gpu): [string, string][] {
  const kind = gpu.mig ? 'a MIG slice' : gpu.integrated ? "shares the machine's memory" : undefined;
  const lines: [string, string][] = [
    [
      `cuda:${gpu.index}`,
      listed(
        gpu.name || 'a GPU without a name',
        `${gpu.architecture} ${gpu.computeCapability}`,
        kind,
        `${gigabytes(gpu.memory.totalBytes)}, ${gigabytes(gpu.memory.freeBytes)} free`,
        speed(gpu.bandwidth),
        gpu.driver ? `driver ${gpu.driver}` : undefined,
        gpu.cuda ? `CUDA ${gpu.cuda}` : undefined,
      ),
    ],
  ];
  if (gpu.processes.length > 0) {
    const users = gpu.processes.map(
      ({ pid, bytes }) => `process ${pid}${bytes === null ? '' : ` (${gigabytes(bytes)})`}`,
    );
    lines.push(['', `in use by ${users.join(', ')}`]);
  }
  return lines;
}

function outlookLines({ model, best, now, cards, refusal }: Outlook, gpusRun: boolean): [string, string][] {
  const lines: [string, string][] = [['plan', now ? `${model}: ${planned(now)}` : refusal!]];
  for (const { device, slots } of cards)
    if (device !== now?.device) lines.push(['', `  ${device} takes ${counted(slots)} more`]);
  for (const reason of now?.reasons ?? []) lines.push(['', `  ${reason}`]);
  if (!gpusRun && best && best.device !== 'cpu') lines.push(['', `  once GPUs are run on: ${planned(best)}`]);
  return lines;
}

function planned({ device, weights, kv, context, slots, predictedMs }: Plan): string {
  const time = predictedMs === null ? undefined : `${predictedMs.toFixed(1)} ms of the 80 ms of a frame`;
  return listed(device, `weights ${weights}`, `kv ${kv}`, `context ${context}`, counted(slots), time);
}

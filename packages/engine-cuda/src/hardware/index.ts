import { cpus, freemem, totalmem } from 'node:os';
import { translated, translatedAsync } from '../errors';
import { addon } from '../native';
import { checkWhole } from '../options';
import type { Gpu, GpuProblem } from './gpu';
import { type ProbeOptions, probeGpus } from './probe';

export type { Gpu, GpuProblem } from './gpu';

/** What this machine has, as far as the engine cares. */
export interface Hardware {
  platform: string;
  node: string;
  cpu: {
    model: string;
    /** Logical processors. */
    threads: number;
    /** Kernel sets this CPU runs, slowest first. */
    isa: string[];
    /** The one the engine takes. */
    used: string;
    /** Threads the engine takes unless told otherwise. */
    engineThreads: number;
  };
  memory: {
    totalBytes: number;
    freeBytes: number;
    /** Bytes a second of plain reading with the engine's threads; only where it was asked for. */
    bandwidth?: number;
  };
  /** NVIDIA GPUs the driver shows; none where there is no driver or it was not asked. */
  gpus: Gpu[];
  /** Why there are none, or why they cannot be used. A machine without a driver has no problem. */
  gpuProblem?: GpuProblem;
}

/** What {@link inspectHardware} may be told. */
export interface InspectOptions {
  /** Whether the driver is asked for GPUs, in a process of its own; true. With false nothing is started. */
  gpu?: boolean;
  /** How long the driver may take, 1 to 600 000 ms; 10 000. */
  timeoutMs?: number;
  /** Measures `memory.bandwidth`, for about a second and with a buffer of up to 1 GiB; false. */
  measure?: boolean;
}

const MEASURE_MS = 1000;
const MEASURE_BYTES = 2 ** 30;

/**
 * Looks at this machine. GPUs that cannot be seen are no error but `gpuProblem`. Throws `ENGINE_NOT_BUILT` when the native part is
 * missing, `ENGINE_BAD_OPTION` for a `timeoutMs` out of range.
 */
export async function inspectHardware(options: InspectOptions = {}): Promise<Hardware> {
  return inspectWith(options);
}

/** {@link inspectHardware} with other driver libraries, for tests. @internal */
export async function inspectWith(
  { gpu = true, timeoutMs = 10_000, measure = false }: InspectOptions,
  libraries?: ProbeOptions['libraries'],
): Promise<Hardware> {
  checkWhole('timeoutMs', timeoutMs, 1, 600_000);
  const { isa, used, threads } = addon().cpu();
  const all = cpus();
  const probe = gpu ? await probeGpus({ timeoutMs, libraries }) : { gpus: [] };
  return {
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    cpu: { model: all[0]?.model.trim() ?? 'unknown', threads: all.length, isa, used, engineThreads: threads },
    memory: {
      totalBytes: totalmem(),
      freeBytes: freemem(),
      ...(measure && { bandwidth: await measureReading(threads) }),
    },
    gpus: probe.gpus,
    ...(probe.problem && { gpuProblem: probe.problem }),
  };
}

async function measureReading(threads: number): Promise<number> {
  const bench = translated(() => addon().openBench({ threads: 0, isa: '', device: 'cpu' }));
  try {
    const { best } = await translatedAsync(() => bench.read(threads, MEASURE_BYTES, MEASURE_MS));
    return best;
  } finally {
    await bench.close();
  }
}

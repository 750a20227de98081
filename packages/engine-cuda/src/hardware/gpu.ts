import type { NativeGpuReport } from '../native';

/** An NVIDIA GPU, or a slice of one. */
export interface Gpu {
  /** As the driver counts, after `CUDA_VISIBLE_DEVICES`: 1 is `cuda:1`. */
  index: number;
  name: string;
  /** As the driver writes it, `GPU-…` or, for a slice, `MIG-…`; empty where it does not tell. */
  uuid: string;
  /** As `8.9`. */
  computeCapability: string;
  /** NVIDIA's name of that generation: `Ada`. */
  architecture: string;
  memory: { totalBytes: number; freeBytes: number };
  /** Nominal bytes a second of its memory, of a slice its share; null where the driver does not tell. */
  bandwidth: number | null;
  multiprocessors: number;
  /** Its memory is the machine's. */
  integrated: boolean;
  /** Its memory corrects errors. */
  ecc: boolean;
  /** A slice of a card (MIG), with memory of its own. */
  mig: boolean;
  /** Version of the driver, as `550.54.15`; null where it does not tell. */
  driver: string | null;
  /** The newest CUDA the driver runs, as `12.4`; null where it does not tell. */
  cuda: string | null;
  /** Other processes that compute on it; bytes are null where the system keeps them to itself. */
  processes: { pid: number; bytes: number | null }[];
}

/** Why GPUs cannot be seen or used. */
export interface GpuProblem {
  code:
    | 'GPU_DRIVER_TOO_OLD'
    | 'GPU_DRIVER_MISMATCH'
    | 'GPU_NO_PERMISSION'
    | 'GPU_NOT_FOUND'
    | 'GPU_DRIVER_ERROR'
    | 'GPU_PROBE_CRASHED'
    | 'GPU_PROBE_TIMED_OUT';
  /** One line that names the cure. */
  message: string;
}

/** What a probe found. A machine without a driver: no GPUs and no problem. */
export interface GpuProbe {
  gpus: Gpu[];
  problem?: GpuProblem;
}

const ARCHITECTURES: [since: number, name: string][] = [
  [10, 'Blackwell'],
  [9, 'Hopper'],
  [8.9, 'Ada'],
  [8, 'Ampere'],
  [7.5, 'Turing'],
  [7, 'Volta'],
  [6, 'Pascal'],
  [5, 'Maxwell'],
  [3, 'Kepler'],
];

/** NVIDIA's name of the generation with this compute capability. */
export function architecture(computeCapability: string): string {
  const value = Number(computeCapability);
  return ARCHITECTURES.find(([since]) => value >= since)?.[1] ?? 'unknown';
}

/** The addon's report as the engine's users see it. */
export function gpuProbe(report: NativeGpuReport): GpuProbe {
  const { cudaVersion } = report;
  const cuda = cudaVersion > 0 ? `${Math.floor(cudaVersion / 1000)}.${Math.floor((cudaVersion % 1000) / 10)}` : null;
  const gpus = report.gpus.map(({ major, minor, totalBytes, freeBytes, bandwidth, ...gpu }): Gpu => {
    const computeCapability = `${major}.${minor}`;
    return {
      ...gpu,
      computeCapability,
      architecture: architecture(computeCapability),
      memory: { totalBytes, freeBytes },
      bandwidth: bandwidth || null,
      driver: report.driver || null,
      cuda,
    };
  });
  return { gpus, ...(report.problem && { problem: report.problem as GpuProblem }) };
}

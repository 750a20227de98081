import type { Gpu, Hardware } from '../hardware';
import type { Place } from './needs';

// PTX for sm_61 is the lowest our kernels have, and PTX 6.0 needs CUDA 9.
const LOWEST_CAPABILITY = 6.1;
const LOWEST_CUDA = 9;

/** A device that might run a model, or why it cannot. */
export type Candidate = { device: Place['device']; place: Place } | { device: Place['device']; problem: string };

/** GPUs in the driver's order, then the CPU. */
export function places({ gpus, memory, cpu }: Hardware): Candidate[] {
  return [
    ...gpus.map(gpuPlace),
    {
      device: 'cpu',
      place: {
        device: 'cpu',
        freeBytes: memory.freeBytes,
        bandwidth: memory.bandwidth ?? null,
        threads: cpu.engineThreads,
      },
    },
  ];
}

function gpuPlace({ index, name, cuda, computeCapability, memory, bandwidth }: Gpu): Candidate {
  const device = `cuda:${index}` as const;
  const unusable = (problem: string) => ({ device, problem: `${device} (${name}) cannot be used: ${problem}` });
  if (cuda !== null && Number(cuda) < LOWEST_CUDA) {
    return unusable(`its driver runs CUDA ${cuda} at most and 9.0 is needed; install driver 384 or newer`);
  }
  if (Number(computeCapability) < LOWEST_CAPABILITY) {
    return unusable(`compute capability ${computeCapability} is below 6.1, which a GTX 10 has`);
  }
  return { device, place: { device, freeBytes: memory.freeBytes, bandwidth, threads: 0 } };
}

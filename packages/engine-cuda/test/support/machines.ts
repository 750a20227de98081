import type { Gpu, Hardware } from '../../src';
import { architecture } from '../../src/hardware/gpu';

const GIB = 2 ** 30;

/** A card: name, compute capability, memory in GiB as sold, GB/s. Of its memory, the driver keeps 300 MB. */
export function card(
  name: string,
  computeCapability: string,
  gib: number,
  gbps: number,
  changes: Partial<Gpu> = {},
): Gpu {
  return {
    index: 0,
    name,
    uuid: `GPU-${name}`,
    computeCapability,
    architecture: architecture(computeCapability),
    memory: { totalBytes: gib * GIB, freeBytes: gib * GIB - 300e6 },
    bandwidth: gbps * 1e9,
    multiprocessors: 40,
    integrated: false,
    ecc: false,
    mig: false,
    driver: '580.65.06',
    cuda: '13.0',
    processes: [],
    ...changes,
  };
}

/** A machine with these cards, by default with a CPU that only holds small models. */
export function machine(
  gpus: Gpu[],
  { gbps = 40 as number | null, freeBytes = 24e9, engineThreads = 7 } = {},
): Hardware {
  return {
    platform: 'linux-x64',
    node: 'v20.0.0',
    cpu: { model: 'Test CPU', threads: 16, isa: ['baseline', 'avx2'], used: 'avx2', engineThreads },
    memory: { totalBytes: 32e9, freeBytes, ...(gbps !== null && { bandwidth: gbps * 1e9 }) },
    gpus: gpus.map((gpu, index) => ({ ...gpu, index })),
  };
}

/** Machines that people have, and how personaplex-7b is to run on them: or a part of the refusal. */
export const MACHINES: {
  name: string;
  hardware: Hardware;
  runs:
    | [device: 'cpu' | `cuda:${number}`, weights: 'bf16' | 'q8' | 'mixed' | 'q4', kv: 'f16' | 'q8', slots: number]
    | string;
}[] = [
  {
    name: 'RTX 2070 8 GB',
    hardware: machine([card('RTX 2070', '7.5', 8, 448)]),
    runs: ['cuda:0', 'mixed', 'q8', 1],
  },
  {
    name: 'laptop 8 GB, 7.2 free',
    hardware: machine([busy(card('RTX 4060 Laptop', '8.9', 8, 256), 7.2e9)]),
    runs: ['cuda:0', 'q4', 'q8', 1],
  },
  {
    name: 'GTX 1080 Ti 11 GB',
    hardware: machine([card('GTX 1080 Ti', '6.1', 11, 484)]),
    runs: ['cuda:0', 'q8', 'f16', 1],
  },
  {
    name: 'RTX 3060 12 GB',
    hardware: machine([card('RTX 3060', '8.6', 12, 360)]),
    runs: ['cuda:0', 'q8', 'f16', 2],
  },
  {
    name: 'RTX 3060 12 GB, a desktop on it',
    hardware: machine([busy(card('RTX 3060', '8.6', 12, 360), 10.2e9)]),
    runs: ['cuda:0', 'q8', 'q8', 1],
  },
  {
    name: 'RTX 4070 Ti 12 GB',
    hardware: machine([card('RTX 4070 Ti', '8.9', 12, 504)]),
    runs: ['cuda:0', 'q8', 'f16', 2],
  },
  { name: 'RTX 4080 16 GB', hardware: machine([card('RTX 4080', '8.9', 16, 717)]), runs: ['cuda:0', 'q8', 'f16', 4] },
  {
    name: 'RTX 4090 24 GB',
    hardware: machine([card('RTX 4090', '8.9', 24, 1008)]),
    runs: ['cuda:0', 'bf16', 'f16', 5],
  },
  {
    name: 'RTX 4090, half full',
    hardware: machine([busy(card('RTX 4090', '8.9', 24, 1008), 12e9)]),
    runs: ['cuda:0', 'q8', 'f16', 1],
  },
  {
    name: 'RTX 5090 32 GB',
    hardware: machine([card('RTX 5090', '12.0', 32, 1792)]),
    runs: ['cuda:0', 'bf16', 'f16', 11],
  },
  {
    name: 'two RTX 3090',
    hardware: machine([card('RTX 3090', '8.6', 24, 936), card('RTX 3090', '8.6', 24, 936)]),
    runs: ['cuda:0', 'bf16', 'f16', 5],
  },
  {
    name: 'two RTX 3090, the first in use',
    hardware: machine([busy(card('RTX 3090', '8.6', 24, 936), 5e9), card('RTX 3090', '8.6', 24, 936)]),
    runs: ['cuda:1', 'bf16', 'f16', 5],
  },
  { name: 'L4 24 GB', hardware: machine([card('L4', '8.9', 22.5, 300)]), runs: ['cuda:0', 'q8', 'f16', 3] },
  { name: 'A10G 24 GB', hardware: machine([card('A10G', '8.6', 22.5, 600)]), runs: ['cuda:0', 'q8', 'f16', 9] },
  { name: 'T4 16 GB', hardware: machine([card('T4', '7.5', 15, 320)]), runs: ['cuda:0', 'q8', 'f16', 4] },
  { name: 'V100 16 GB', hardware: machine([card('V100', '7.0', 16, 900)]), runs: ['cuda:0', 'q8', 'f16', 4] },
  { name: 'P40 24 GB', hardware: machine([card('P40', '6.1', 24, 346)]), runs: ['cuda:0', 'q8', 'f16', 5] },
  { name: 'A100 40 GB', hardware: machine([card('A100', '8.0', 40, 1555)]), runs: ['cuda:0', 'bf16', 'f16', 16] },
  { name: 'A100 80 GB', hardware: machine([card('A100', '8.0', 80, 2039)]), runs: ['cuda:0', 'bf16', 'f16', 42] },
  {
    name: 'A100, a MIG slice of 20 GB',
    hardware: machine([card('A100 MIG 3g.20gb', '8.0', 20, 777, { mig: true })]),
    runs: ['cuda:0', 'bf16', 'f16', 3],
  },
  { name: 'H100 80 GB', hardware: machine([card('H100', '9.0', 80, 3350)]), runs: ['cuda:0', 'bf16', 'f16', 43] },
  { name: 'H200 141 GB', hardware: machine([card('H200', '9.0', 141, 4800)]), runs: ['cuda:0', 'bf16', 'f16', 84] },
  {
    name: 'GB10 128 GB, shared',
    hardware: machine([card('GB10', '12.1', 110, 273, { integrated: true })]),
    runs: ['cuda:0', 'q8', 'f16', 3],
  },
  {
    name: 'Jetson Orin 64 GB, shared',
    hardware: machine([card('Orin', '8.7', 56, 204.8, { integrated: true })]),
    runs: ['cuda:0', 'q8', 'f16', 1],
  },
  {
    name: 'EPYC, 400 GB/s',
    hardware: machine([], { gbps: 400, freeBytes: 250e9, engineThreads: 31 }),
    runs: ['cpu', 'q8', 'f16', 5],
  },
  { name: 'DDR5 desktop, 80 GB/s', hardware: machine([], { gbps: 80 }), runs: 'cpu reads 80 GB/s' },
  { name: 'DDR4 desktop, 40 GB/s', hardware: machine([], { gbps: 40 }), runs: 'cpu reads 40 GB/s' },
  { name: 'container with no driver', hardware: machine([], { freeBytes: 4e9 }), runs: 'cpu has 4.0 GB free' },
  {
    name: 'driver too old',
    hardware: machine([card('GTX 1080 Ti', '6.1', 11, 484, { driver: '375.66', cuda: '8.0' })]),
    runs: 'install driver 384 or newer',
  },
];

export function busy(gpu: Gpu, freeBytes: number): Gpu {
  return { ...gpu, memory: { ...gpu.memory, freeBytes } };
}

import type { WeightForm } from '../weights';
import { type Parts, parameters, readParameters, type Shape, sum } from './shapes';

/** Forms of weights a plan may choose; `stored` only for a model whose file was looked at. */
export type PlanWeights = WeightForm;
/** Elements of the attention's memory. */
export type PlanKv = 'f32' | 'f16' | 'q8';

/** What a model would run as. */
export interface Form {
  weights: PlanWeights;
  kv: PlanKv;
  /** Positions. */
  context: number;
}

/** Where it would run. */
export interface Place {
  device: 'cpu' | `cuda:${number}`;
  freeBytes: number;
  /** Bytes a second of its memory: nominal of a GPU, measured of a CPU; null = unknown. */
  bandwidth: number | null;
  /** Of a CPU; 0 for a GPU. */
  threads: number;
}

/** Estimates that a user knows better. */
export interface Estimates {
  /** Billions of weights. */
  paramsBillions?: number;
  /** Memory of one more conversation, 10^6 bytes. */
  perBatchItemMB?: number;
}

const Q8 = 8.5;
const Q4 = 4.5;
type Bits = [attention: number, feedForward: number, rest: number];
const BITS: Record<PlanWeights, Bits> = {
  stored: [16, 16, 16],
  bf16: [16, 16, 16],
  f16: [16, 16, 16],
  q8: [Q8, Q8, Q8],
  mixed: [Q8, Q4, Q8],
  q4: [Q4, Q4, Q8],
};

/** Mimi: its weights, what one direction of it reads a frame, and what it keeps of a conversation. */
export const CODEC_BYTES = 250e6;
const CODEC_READ = 100e6;
const CODEC_SLOT_BYTES = 20e6;

// Of one direction: half a frame's 10 ms on one core (docs/speed.md), which four cores share well.
const CODEC_CPU_MS = 5;
const CODEC_GPU_MS = 0.1;
// What kernels reach of a GPU's nominal bandwidth, and of what was measured on a CPU.
const GPU_REACH = 0.8;
const CPU_REACH = 0.9;
const KERNEL_MS = 0.0013;
const CODEC_KERNELS = 150;
// Multiply-adds count twice; what a core with AVX2 does of them in quantized layers.
const CORE_FLOPS = 100e9;

/** Whether a file holds weights of so many bits quantized; they then stay as they are, whatever form is asked for. */
export function isQuantized({ storedBits = 16 }: Shape): boolean {
  // Floats have 16 at least, but a file may lack tensors that the config speaks of.
  return storedBits < 12;
}

function bitsOf(form: PlanWeights, shape: Shape): Bits {
  const { storedBits } = shape;
  return storedBits !== undefined && (form === 'stored' || isQuantized(shape))
    ? [storedBits, storedBits, storedBits]
    : BITS[form];
}

/** Bytes of so many weights in a form. */
export function weightBytes({ attention, feedForward, rest }: Parts, form: PlanWeights, bits = BITS[form]): number {
  return Math.ceil((attention * bits[0] + feedForward * bits[1] + rest * bits[2]) / 8);
}

/** Bytes of the attention's memory for so many positions of one conversation. */
export function kvBytes(shape: Shape, { kv, context }: Pick<Form, 'kv' | 'context'>, device: Place['device']): number {
  const values = 2 * shape.layers * shape.dim;
  // One scale for each head; the CPU engine keeps them as f32.
  const scales = 2 * shape.layers * shape.heads * (device === 'cpu' ? 4 : 2);
  return context * (kv === 'q8' ? values + scales : values * (kv === 'f16' ? 2 : 4));
}

/** Memory that a form of a model needs on a device. */
export interface Memory {
  /** The language model and the codec. */
  weights: number;
  kvPerSlot: number;
  /** Attention's memory and the codec's state. */
  perSlot: number;
}

/** What a form of a model needs of memory. */
export function memoryOf(shape: Shape, form: Form, device: Place['device'], estimates: Estimates = {}): Memory {
  const weights =
    Math.ceil(weightBytes(parameters(shape), form.weights, bitsOf(form.weights, shape)) * scale(shape, estimates)) +
    CODEC_BYTES;
  const kvPerSlot = kvBytes(shape, form, device);
  const { perBatchItemMB } = estimates;
  return {
    weights,
    kvPerSlot,
    perSlot: perBatchItemMB === undefined ? kvPerSlot + CODEC_SLOT_BYTES : Math.ceil(perBatchItemMB * 1e6),
  };
}

function scale(shape: Shape, { paramsBillions }: Estimates): number {
  return paramsBillions === undefined ? 1 : (paramsBillions * 1e9) / sum(parameters(shape));
}

/** What a frame of so many conversations costs, apart from bandwidth. */
export function frameCost(shape: Shape, form: Form, place: Place, slots: number, estimates: Estimates = {}) {
  const onCpu = place.device === 'cpu';
  const read = readParameters(shape);
  const larger = scale(shape, estimates);
  const directions = shape.codec.length;
  const bytes =
    weightBytes(read, form.weights, bitsOf(form.weights, shape)) * larger +
    slots * kvBytes(shape, form, place.device) +
    (onCpu ? 0 : CODEC_READ * directions);
  const { depth } = shape;
  const kernels = 8 * shape.layers + (depth ? depth.steps * (5 * depth.layers + 3) : 0) + CODEC_KERNELS;
  const threads = Math.max(1, place.threads);
  const codecMs = slots * directions * (onCpu ? CODEC_CPU_MS / Math.min(threads, 4) : CODEC_GPU_MS);
  const arithmeticMs = onCpu ? (1000 * slots * 2 * sum(read) * larger) / (CORE_FLOPS * threads) : 0;
  return { bytes, fixedMs: KERNEL_MS * kernels + codecMs, arithmeticMs };
}

/** Milliseconds of a frame of so many conversations at full context; null where the bandwidth is unknown. */
export function predictMs(shape: Shape, form: Form, place: Place, slots: number, estimates: Estimates = {}) {
  if (place.bandwidth === null) return null;
  const { bytes, fixedMs, arithmeticMs } = frameCost(shape, form, place, slots, estimates);
  return Math.max((1000 * bytes) / (reach(place) * place.bandwidth), arithmeticMs) + fixedMs;
}

/** Bytes a second with which one conversation's frame would take `ms`; Infinity where no bandwidth would do. */
export function bandwidthFor(shape: Shape, form: Form, place: Place, ms: number, estimates: Estimates = {}): number {
  const { bytes, fixedMs, arithmeticMs } = frameCost(shape, form, place, 1, estimates);
  const left = ms - fixedMs;
  return left > 0 && arithmeticMs <= left ? (1000 * bytes) / (reach(place) * left) : Number.POSITIVE_INFINITY;
}

function reach(place: Place): number {
  return place.device === 'cpu' ? CPU_REACH : GPU_REACH;
}

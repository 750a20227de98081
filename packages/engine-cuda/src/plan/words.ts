import type { Form } from './needs';

/** Bytes in 10^9, as `8.2 GB`. */
export function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Bytes a second, as `448 GB/s`. */
export function gigabytesPerSecond(bytes: number): string {
  return `${Math.ceil(bytes / 1e9)} GB/s`;
}

const WEIGHTS = {
  stored: 'weights as stored',
  bf16: 'bf16',
  f16: 'f16',
  q8: 'q8',
  mixed: 'q4/q8 mixed',
  q4: 'q4',
} as const;
const KV = { f32: 'f32 KV', f16: 'f16 KV', q8: 'int8 KV' } as const;

/** A form, as `q8, int8 KV, context 3000`. */
export function formWords({ weights, kv, context }: Form): string {
  return `${WEIGHTS[weights]}, ${KV[kv]}, context ${context}`;
}

/** `1 session`, `2 sessions`. */
export function sessions(count: number): string {
  return `${count} session${count === 1 ? '' : 's'}`;
}

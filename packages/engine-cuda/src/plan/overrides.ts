import { EngineError } from '../errors';
import { checkNumber, checkWhole } from '../options';
import { checkKv, checkWeights } from '../weights';
import type { Estimates, PlanKv, PlanWeights } from './needs';
import type { Shape } from './shapes';

/** What a user settles; the plan chooses the rest around it. */
export interface PlanOverrides extends Estimates {
  /** `cpu`, or a GPU by its index: `cuda:0`. It is then taken even where it is too slow. */
  device?: 'cpu' | `cuda:${number}`;
  weights?: PlanWeights;
  kv?: PlanKv;
  /** Positions the attention looks back, 1 to the model's own; 12.5 a second. */
  context?: number;
  /** Conversations at once, 1 to 256. */
  slots?: number;
  /** Bytes of memory that are left alone; 512 000 000. */
  reservedBytes?: number;
}

/** Whether the user settled how it is to run. */
export function isSettled({ device, weights, kv, context, slots }: PlanOverrides): boolean {
  return [device, weights, kv, context, slots].some((value) => value !== undefined);
}

/** Throws `ENGINE_BAD_OPTION` unless every override is within its range. */
export function checkOverrides(overrides: PlanOverrides, { context, storedBits }: Shape): void {
  const { device, weights } = overrides;
  if (device !== undefined && !/^(cpu|cuda:\d{1,3})$/.test(device)) {
    throw new EngineError('ENGINE_BAD_OPTION', `device is ${String(device)}; it must be cpu, or cuda:0, cuda:1, …`);
  }
  if ((weights as string) === 'auto' || (weights === 'stored' && storedBits === undefined)) {
    throw new EngineError('ENGINE_BAD_OPTION', `weights is ${weights}; a plan needs one of f16, bf16, q8, mixed, q4`);
  }
  checkWeights(weights);
  if ((overrides.kv as string) === 'auto') {
    throw new EngineError('ENGINE_BAD_OPTION', 'kv is auto; a plan needs one of f32, f16, q8');
  }
  checkKv(overrides.kv);
  checkWhole('context', overrides.context, 1, context);
  checkWhole('slots', overrides.slots, 1, 256);
  checkEstimates(overrides);
}

/** Throws `ENGINE_BAD_OPTION` unless what is told of memory is within its range. */
export function checkEstimates(told: Estimates & Pick<PlanOverrides, 'reservedBytes'>): void {
  checkWhole('reservedBytes', told.reservedBytes, 0, Number.MAX_SAFE_INTEGER);
  checkNumber('paramsBillions', told.paramsBillions, 0.001, 1000);
  checkNumber('perBatchItemMB', told.perBatchItemMB, 1, 1_000_000);
}

/**
 * What the environment settles: `MOSHI_MODEL_PARAMS_BILLIONS`, and `MOSHI_PER_BATCH_ITEM_MB`, the memory of one more conversation in
 * 10^6 bytes. Unset and empty variables settle nothing; throws `ENGINE_BAD_OPTION` for what is no number within range.
 */
export function planOverridesFromEnv(env: Record<string, string | undefined>): Estimates {
  const paramsBillions = fromEnv(env, 'MOSHI_MODEL_PARAMS_BILLIONS', 0.001, 1000);
  const perBatchItemMB = fromEnv(env, 'MOSHI_PER_BATCH_ITEM_MB', 1, 1_000_000);
  return {
    ...(paramsBillions !== undefined && { paramsBillions }),
    ...(perBatchItemMB !== undefined && { perBatchItemMB }),
  };
}

function fromEnv(env: Record<string, string | undefined>, name: string, low: number, high: number): number | undefined {
  const text = env[name]?.trim();
  if (!text) return undefined;
  const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low && value <= high) return value;
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    `${name} is ${text.slice(0, 40)}; it must be a number, ${low} to ${high}, or unset`,
  );
}

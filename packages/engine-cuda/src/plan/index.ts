import { type Backend, runnable } from '../backends';
import { EngineError } from '../errors';
import type { Hardware } from '../hardware';
import type { Plan } from './fit';
import { byMerit, judge, refusal } from './judge';
import type { PlanOverrides } from './overrides';
import { type Model, PLANNED_MODELS, type PlannedModel, SHAPES } from './shapes';

export type { Plan } from './fit';
export type { Estimates, PlanKv, PlanWeights } from './needs';
export { type PlanOverrides, planOverridesFromEnv } from './overrides';
export { PLANNED_MODELS, type PlannedModel } from './shapes';

/** Kinds of devices that this build runs models on; without `cuda` it plans for GPUs, but does not run on them. */
export const BACKENDS: readonly Backend[] = runnable(['cuda', 'cpu']);

/**
 * How a model would run on this hardware: the best GPU that holds it, otherwise the CPU. A function of its arguments alone. Throws
 * `ENGINE_BAD_OPTION` when nothing here runs it, or not as the overrides want it; the message says what would.
 */
export function plan(hardware: Hardware, model: PlannedModel, overrides: PlanOverrides = {}): Plan {
  const known = knownModel(model);
  const judged = judge(hardware, known, overrides);
  const plans = judged.filter((one) => 'plan' in one);
  const gpus = plans.filter(({ plan }) => plan.device !== 'cpu').sort(byMerit);
  const best = gpus[0] ?? plans[0];
  if (!best) throw new EngineError('ENGINE_BAD_OPTION', refusal(hardware, known, overrides, judged));
  const passedOver = judged.flatMap((one) => ('problem' in one && one.device !== 'cpu' ? [one.problem] : []));
  return best.plan.device === 'cpu' ? { ...best.plan, reasons: [...best.plan.reasons, ...passedOver] } : best.plan;
}

/**
 * One plan for each device that runs the model, GPUs in the driver's order and then the CPU: a card of its own for each is how several
 * are used. Empty when none does.
 */
export function planDevices(hardware: Hardware, model: PlannedModel, overrides: PlanOverrides = {}): Plan[] {
  return judge(hardware, knownModel(model), overrides).flatMap((one) => ('plan' in one ? [one.plan] : []));
}

/** A known model and its shape. Throws `ENGINE_BAD_OPTION` for other names. */
export function knownModel(name: PlannedModel): Model {
  if (PLANNED_MODELS.includes(name)) return { name, shape: SHAPES[name] };
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    `there is no plan for '${String(name)}', only for ${PLANNED_MODELS.join(', ')}`,
  );
}

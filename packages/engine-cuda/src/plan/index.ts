import { EngineError } from '../errors';
import type { Hardware } from '../hardware';
import { type Fit, fit, type Plan } from './fit';
import { LIMIT_MS, TIGHT_MS } from './ladder';
import { checkOverrides, isSettled, type PlanOverrides } from './overrides';
import { type Candidate, places } from './places';
import { PLANNED_MODELS, type PlannedModel, SHAPES } from './shapes';
import { formWords, sessions } from './words';

export type { Plan } from './fit';
export type { Estimates, PlanKv, PlanWeights } from './needs';
export { type PlanOverrides, planOverridesFromEnv } from './overrides';
export { PLANNED_MODELS, type PlannedModel } from './shapes';

/** Kinds of devices that this version runs models on; it plans for GPUs, but does not run on them yet. */
export const BACKENDS: readonly ('cpu' | 'cuda')[] = ['cpu'];

/** A device and what it does with a model. */
type Judged = Fit & { device: string };

/**
 * How a model would run on this hardware: the best GPU that holds it, otherwise the CPU. A function of its arguments alone. Throws
 * `ENGINE_BAD_OPTION` when nothing here runs it, or not as the overrides want it; the message says what would.
 */
export function plan(hardware: Hardware, model: PlannedModel, overrides: PlanOverrides = {}): Plan {
  const judged = judge(hardware, model, overrides);
  const plans = judged.filter((one) => 'plan' in one);
  const gpus = plans.filter(({ plan }) => plan.device !== 'cpu').sort(byMerit);
  const best = gpus[0] ?? plans[0];
  if (!best) throw new EngineError('ENGINE_BAD_OPTION', refusal(hardware, model, overrides, judged));
  const passedOver = judged.flatMap((one) => ('problem' in one && one.device !== 'cpu' ? [one.problem] : []));
  return best.plan.device === 'cpu' ? { ...best.plan, reasons: [...best.plan.reasons, ...passedOver] } : best.plan;
}

/**
 * One plan for each device that runs the model, GPUs in the driver's order and then the CPU: a card of its own for each is how several
 * are used. Empty when none does.
 */
export function planDevices(hardware: Hardware, model: PlannedModel, overrides: PlanOverrides = {}): Plan[] {
  return judge(hardware, model, overrides).flatMap((one) => ('plan' in one ? [one.plan] : []));
}

function byMerit(a: Fit & { plan: Plan; rung: number }, b: Fit & { plan: Plan; rung: number }): number {
  return (
    a.rung - b.rung ||
    b.plan.slots - a.plan.slots ||
    (a.plan.predictedMs ?? Infinity) - (b.plan.predictedMs ?? Infinity)
  );
}

function judge(hardware: Hardware, model: PlannedModel, overrides: PlanOverrides): Judged[] {
  if (!PLANNED_MODELS.includes(model)) {
    throw new EngineError(
      'ENGINE_BAD_OPTION',
      `there is no plan for '${String(model)}', only for ${PLANNED_MODELS.join(', ')}`,
    );
  }
  checkOverrides(overrides, SHAPES[model].context);
  const candidates = places(hardware).filter(
    (one) => overrides.device === undefined || overrides.device === one.device,
  );
  if (candidates.length === 0) {
    const known = places(hardware)
      .map(({ device }) => device)
      .join(', ');
    const why = hardware.gpuProblem ? `; ${hardware.gpuProblem.message}` : '';
    throw new EngineError(
      'ENGINE_BAD_OPTION',
      `there is no device ${overrides.device}, this machine has ${known}${why}`,
    );
  }
  return candidates.map((one) => ({ device: one.device, ...judgeOne(one, model, overrides) }));
}

function judgeOne(candidate: Candidate, model: PlannedModel, overrides: PlanOverrides): Fit {
  if ('problem' in candidate) return { problem: candidate.problem };
  const { place } = candidate;
  const first = fit(model, place, overrides, LIMIT_MS);
  if (place.device !== 'cpu' || ('plan' in first && first.plan.keepsUp !== false)) return first;
  return fit(model, place, overrides, TIGHT_MS);
}

// Asking again for other models must not ask for this one again.
function refusal(hardware: Hardware, model: PlannedModel, overrides: PlanOverrides, judged: Judged[]): string {
  const problems = judged.flatMap((one) => ('problem' in one ? [one.problem] : []));
  const how = isSettled(overrides) ? 'cannot run as asked' : 'does not fit this machine';
  const said = `${model} ${how}: ${problems.join('; ')}`;
  if (isSettled(overrides)) {
    const { reservedBytes, paramsBillions, perBatchItemMB } = overrides;
    const free = attempt(hardware, model, { reservedBytes, paramsBillions, perBatchItemMB });
    if (free) return `${said}. What would: ${inWords(free)}`;
  }
  const others = PLANNED_MODELS.flatMap((other) => {
    const found = other === model ? undefined : attempt(hardware, other, {});
    return found ? [inWords(found)] : [];
  });
  return others.length > 0
    ? `${said}. What would: ${others.join('; ')}`
    : `${said}. No smaller model does either: free memory, or take a machine with more of it`;
}

function attempt(hardware: Hardware, model: PlannedModel, overrides: PlanOverrides): Plan | undefined {
  return judge(hardware, model, overrides)
    .flatMap((one) => ('plan' in one ? [one] : []))
    .sort((a, b) => Number(a.plan.device === 'cpu') - Number(b.plan.device === 'cpu') || byMerit(a, b))[0]?.plan;
}

function inWords(found: Plan): string {
  return `${found.model} on ${found.device} (${formWords(found)}, ${sessions(found.slots)})`;
}

import { EngineError } from '../errors';
import type { Hardware } from '../hardware';
import { type Fit, fit, type Plan } from './fit';
import { LIMIT_MS, TIGHT_MS } from './ladder';
import { checkOverrides, isSettled, type PlanOverrides } from './overrides';
import { type Candidate, places } from './places';
import { type Model, PLANNED_MODELS, SHAPES } from './shapes';
import { formWords, sessions } from './words';

/** A device and what it does with a model. */
export type Judged = Fit & { device: string };

/** The better form first, then the more conversations, then the faster. */
export function byMerit(a: Fit & { plan: Plan; rung: number }, b: Fit & { plan: Plan; rung: number }): number {
  return (
    a.rung - b.rung ||
    b.plan.slots - a.plan.slots ||
    (a.plan.predictedMs ?? Infinity) - (b.plan.predictedMs ?? Infinity)
  );
}

/** What each device does with a model, or the one that the overrides name. Throws `ENGINE_BAD_OPTION` for one that is not there. */
export function judge(hardware: Hardware, model: Model, overrides: PlanOverrides): Judged[] {
  checkOverrides(overrides, model.shape);
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

function judgeOne(candidate: Candidate, model: Model, overrides: PlanOverrides): Fit {
  if ('problem' in candidate) return { problem: candidate.problem };
  const { place } = candidate;
  const first = fit(model, place, overrides, LIMIT_MS);
  if (place.device !== 'cpu' || ('plan' in first && first.plan.keepsUp !== false)) return first;
  return fit(model, place, overrides, TIGHT_MS);
}

/** Why no device runs a model, and what would run. */
export function refusal(hardware: Hardware, model: Model, overrides: PlanOverrides, judged: Judged[]): string {
  const problems = judged.flatMap((one) => ('problem' in one ? [one.problem] : []));
  const how = isSettled(overrides) ? 'cannot run as asked' : 'does not fit this machine';
  const said = `${model.name} ${how}: ${problems.join('; ')}`;
  if (isSettled(overrides)) {
    const { reservedBytes, paramsBillions, perBatchItemMB } = overrides;
    const free = attempt(hardware, model, { reservedBytes, paramsBillions, perBatchItemMB });
    if (free) return `${said}. What would: ${inWords(free)}`;
  }
  const others = PLANNED_MODELS.flatMap((other) => {
    const found = other === model.name ? undefined : attempt(hardware, { name: other, shape: SHAPES[other] }, {});
    return found ? [inWords(found)] : [];
  });
  return others.length > 0
    ? `${said}. What would: ${others.join('; ')}`
    : `${said}. No smaller model does either: free memory, or take a machine with more of it`;
}

function attempt(hardware: Hardware, model: Model, overrides: PlanOverrides): Plan | undefined {
  return judge(hardware, model, overrides)
    .flatMap((one) => ('plan' in one ? [one] : []))
    .sort((a, b) => Number(a.plan.device === 'cpu') - Number(b.plan.device === 'cpu') || byMerit(a, b))[0]?.plan;
}

/** A plan, as `personaplex-7b on cuda:0 (q8, f16 KV, context 3000, 2 sessions)`. */
export function inWords(found: Plan): string {
  return `${found.model} on ${found.device} (${formWords(found)}, ${sessions(found.slots)})`;
}

import { EngineError } from '../errors';
import type { Hardware } from '../hardware';
import { BACKENDS, type Estimates, PLANNED_MODELS, type Plan, type PlannedModel, plan } from '.';

/** What one model would do on a machine. */
export interface Outlook {
  model: PlannedModel;
  /** On the best device there is; null when none runs it. */
  best: Plan | null;
  /** On what this version runs on, which may be less; null when that does not run it. */
  now: Plan | null;
  /** Why there is no plan to run it now, and what would run; null when there is one. */
  refusal: string | null;
}

/**
 * What each known model would do on this hardware: a function of its arguments alone. Throws `ENGINE_BAD_OPTION` for estimates out of
 * range.
 */
export function outlook(hardware: Hardware, estimates: Estimates = {}): Outlook[] {
  const today = BACKENDS.includes('cuda') ? hardware : { ...hardware, gpus: [] };
  return PLANNED_MODELS.map((model) => {
    const best = attempt(() => plan(hardware, model, estimates));
    const now = attempt(() => plan(today, model, estimates));
    return { model, best: best.plan, now: now.plan, refusal: now.refusal };
  });
}

function attempt(make: () => Plan): { plan: Plan | null; refusal: string | null } {
  try {
    return { plan: make(), refusal: null };
  } catch (error) {
    if (error instanceof EngineError) return { plan: null, refusal: error.message };
    throw error;
  }
}

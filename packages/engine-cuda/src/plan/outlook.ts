import { EngineError } from '../errors';
import type { Hardware } from '../hardware';
import { BACKENDS, type Estimates, knownModel, PLANNED_MODELS, type Plan, type PlannedModel, plan } from '.';
import { planCards } from './cards';

/** What one model would do on a machine. */
export interface Outlook {
  model: PlannedModel;
  /** On the best device there is; null when none runs it. */
  best: Plan | null;
  /** On what this version runs on, which may be less; null when that does not run it. */
  now: Plan | null;
  /** Where `now` is on a GPU: the part of each GPU that would take sessions, all in the same form; otherwise none. */
  cards: Plan[];
  /** Why there is no plan to run it now, and what would run; null when there is one. */
  refusal: string | null;
}

/**
 * What each known model would do on this hardware: a function of its arguments alone, `backends` being the kinds of devices that are run
 * on. Throws `ENGINE_BAD_OPTION` for estimates out of range.
 */
export function outlook(hardware: Hardware, estimates: Estimates = {}, backends = BACKENDS): Outlook[] {
  const today = backends.includes('cuda') ? hardware : { ...hardware, gpus: [] };
  return PLANNED_MODELS.map((model) => {
    const best = attempt(() => plan(hardware, model, estimates));
    const now = attempt(() => plan(today, model, estimates));
    const cards = now.plan && now.plan.device !== 'cpu' ? planCards(today, knownModel(model), estimates) : [];
    return { model, best: best.plan, now: now.plan, cards, refusal: now.refusal };
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

import { type Form, isQuantized, type PlanKv, type PlanWeights } from './needs';
import type { PlanOverrides } from './overrides';
import type { Shape } from './shapes';

/** A form a plan may take. */
export interface Rung extends Form {
  /** Of one conversation's frame. */
  limitMs: number;
}

/** A frame may take this long: 80 ms, and a quarter of them in hand. */
export const LIMIT_MS = 60;
/** A CPU whose bandwidth was measured may come closer, with a warning. */
export const TIGHT_MS = 70;
// Weights as they were trained are for machines that hardly notice.
const ORIGINAL_MS = 32;
const SHORTEST = 1500;
const SHORTER_BY = 500;

/**
 * Forms from the most faithful to the smallest: bf16, q8, q8 with 8-bit attention memory, then fewer bits for weights, then less to look
 * back on. What the user settled stays as it is.
 */
export function ladder(shape: Shape, overrides: PlanOverrides, limitMs: number): Rung[] {
  const settled = overrides.weights ?? (isQuantized(shape) ? 'stored' : undefined);
  const forms: [PlanWeights, PlanKv][] = settled
    ? [
        [settled, 'f16'],
        [settled, 'q8'],
      ]
    : [
        ['bf16', 'f16'],
        ['q8', 'f16'],
        ['q8', 'q8'],
        ['mixed', 'q8'],
        ['q4', 'q8'],
      ];
  const rungs: Rung[] = [];
  const add = (weights: PlanWeights, kv: PlanKv, context: number) => {
    const original = weights === 'bf16' && overrides.weights === undefined;
    const rung = { weights, kv: overrides.kv ?? kv, context, limitMs: original ? ORIGINAL_MS : limitMs };
    if (!rungs.some((known) => sameForm(known, rung))) rungs.push(rung);
  };
  for (const [weights, kv] of forms) add(weights, kv, overrides.context ?? shape.context);
  if (overrides.context === undefined) {
    const [weights, kv] = forms.at(-1)!;
    for (let context = shape.context - SHORTER_BY; context >= SHORTEST; context -= SHORTER_BY)
      add(weights, kv, context);
  }
  return rungs;
}

function sameForm(a: Form, b: Form): boolean {
  return a.weights === b.weights && a.kv === b.kv && a.context === b.context;
}

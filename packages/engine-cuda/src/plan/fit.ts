import { LIMIT_MS, ladder, type Rung } from './ladder';
import { bandwidthFor, type Estimates, memoryOf, type Place, type PlanKv, type PlanWeights, predictMs } from './needs';
import type { PlanOverrides } from './overrides';
import type { Model, Shape } from './shapes';
import { formWords, gigabytes, gigabytesPerSecond, sessions } from './words';

/** How a model would run on a device. */
export interface Plan {
  /** One of the known models, or what a model was loaded as. */
  model: string;
  /** `cpu`, or a GPU by its index. */
  device: 'cpu' | `cuda:${number}`;
  weights: PlanWeights;
  kv: PlanKv;
  /** Positions the attention looks back; 12.5 a second. */
  context: number;
  /** Conversations at once that memory and time allow, at most 256, or as many as were asked for. */
  slots: number;
  bytes: {
    /** Of the language model and the codec. */
    weights: number;
    /** Attention's memory of one conversation at full context. */
    kvPerSlot: number;
    /** That, and the codec's state. */
    perSlot: number;
    /** Left alone. */
    reserve: number;
    /** weights + slots · perSlot + reserve: never more than is free. */
    total: number;
  };
  /** Of a frame of one conversation at full context, in milliseconds; null where the device's bandwidth is unknown. */
  predictedMs: number | null;
  /** Whether a frame of all `slots` conversations leaves time to spare in its 80 ms; null where `predictedMs` is. */
  keepsUp: boolean | null;
  /** Why it came to this, in short sentences. */
  reasons: string[];
}

/** What a device does with a model: a plan, or why there is none. */
export type Fit = { plan: Plan; rung: number } | { problem: string };

/** Conversations that one engine takes. */
export const MOST_SLOTS = 256;
const RESERVE = 512e6;

/** The first form of the ladder that a device holds and that leaves it time. */
export function fit(model: Model, place: Place, overrides: PlanOverrides, limitMs: number): Fit {
  const { shape } = model;
  const tried = attempts(model, place, overrides, limitMs);
  const suits = tried.findIndex(({ short, late }) => !short && !late);
  if (suits >= 0) return { plan: made(model, tried, suits, place, overrides), rung: suits };
  // A device the user named is taken, slow as it may be.
  const fastest = tried.findLastIndex(({ short }) => !short);
  if (fastest >= 0 && overrides.device !== undefined) {
    return { plan: made(model, tried, fastest, place, overrides), rung: tried.length + fastest };
  }
  return { problem: problem(shape, tried, place, overrides, limitMs) };
}

/** A form on a device. */
export interface Attempt {
  rung: Rung;
  bytes: Omit<Plan['bytes'], 'total'>;
  /** Conversations that memory holds. */
  held: number;
  /** For the conversations asked for, or one. */
  needed: number;
  /** Memory does not hold them. */
  short: boolean;
  /** They take too long. */
  late: boolean;
  /** Of one conversation's frame, and of all that were asked for. */
  ms: number | null;
  allMs: number | null;
}

/** Every form of the ladder on a device. */
export function attempts(model: Model, place: Place, overrides: PlanOverrides, limitMs: number): Attempt[] {
  const { shape } = model;
  return ladder(shape, overrides, limitMs).map((rung) => attempt(shape, rung, place, overrides));
}

function attempt(shape: Shape, rung: Rung, place: Place, overrides: PlanOverrides): Attempt {
  const wanted = overrides.slots ?? 1;
  const reserve = overrides.reservedBytes ?? RESERVE;
  const bytes = { ...memoryOf(shape, rung, place.device, overrides), reserve };
  const held = Math.floor((place.freeBytes - bytes.weights - reserve) / bytes.perSlot);
  const one = predictMs(shape, rung, place, 1, overrides);
  const all = predictMs(shape, rung, place, wanted, overrides);
  // What was trained in full is for machines with plenty of time, when nobody asked for it; that a machine's speed is unknown is no plenty.
  const late = one === null ? rung.limitMs < LIMIT_MS : one > rung.limitMs || all! > Math.max(LIMIT_MS, rung.limitMs);
  return {
    rung,
    bytes,
    held,
    needed: bytes.weights + wanted * bytes.perSlot + reserve,
    short: held < wanted,
    late,
    ms: one,
    allMs: all,
  };
}

/** Conversations that memory and time allow; one where nothing is known of the time, or too little of it is there. */
export function most({ shape }: Model, { rung, held, ms }: Attempt, place: Place, estimates: Estimates): number {
  const limit = Math.max(LIMIT_MS, rung.limitMs);
  let slots = 1;
  if (ms !== null) {
    while (slots < Math.min(held, MOST_SLOTS) && predictMs(shape, rung, place, slots + 1, estimates)! <= limit) slots++;
  }
  return slots;
}

/** The plan of one of a device's attempts. */
export function made(model: Model, tried: Attempt[], chosen: number, place: Place, overrides: PlanOverrides): Plan {
  const { rung, bytes, held, ms } = tried[chosen]!;
  const { weights, kv, context } = rung;
  const time = (slots: number) => predictMs(model.shape, rung, place, slots, overrides);
  const limit = Math.max(LIMIT_MS, rung.limitMs);
  const slots = overrides.slots ?? most(model, tried[chosen]!, place, overrides);
  const all = time(slots);
  const keepsUp = all === null ? null : all <= limit;
  const total = bytes.weights + slots * bytes.perSlot + bytes.reserve;

  const reasons = [`${gigabytes(place.freeBytes)} free: ${formWords(rung)}, ${sessions(slots)} in ${gigabytes(total)}`];
  const better = tried[chosen - 1];
  if (better) reasons.push(missed(better, slots));
  if (overrides.weights === undefined && (weights === 'mixed' || weights === 'q4')) {
    reasons.push('4 bits can be heard: compare with `moshi eval`');
  }
  if (ms === null) {
    reasons.push('the bandwidth of its memory is unknown, so whether it keeps up is not predicted');
  } else if (!keepsUp) {
    reasons.push(`a frame takes ${Math.ceil(all!)} ms, which leaves too little of its 80: sound will break up`);
  } else if (all! > LIMIT_MS) {
    reasons.push(`a frame takes ${Math.ceil(all!)} of its 80 ms: close down what else uses this machine`);
  }
  if (overrides.slots === undefined && ms !== null && slots < MOST_SLOTS) {
    reasons.push(
      slots < held
        ? `one more session would take ${Math.ceil(time(slots + 1)!)} ms a frame`
        : `one more session would need ${gigabytes(total + bytes.perSlot)}`,
    );
  }
  return {
    model: model.name,
    device: place.device,
    weights,
    kv,
    context,
    slots,
    bytes: { ...bytes, total },
    predictedMs: ms,
    keepsUp,
    reasons,
  };
}

function missed({ rung, short, late, needed, ms, allMs }: Attempt, slots: number): string {
  const form = formWords(rung);
  if (short) return `${form} would need ${gigabytes(needed)}`;
  if (!late) return `${form} does not suit all the cards that are used`;
  if (ms === null) return `${form} is for memory known to be fast`;
  if (ms > rung.limitMs) return `${form} would take ${Math.ceil(ms)} ms a frame, and ${rung.limitMs} is the limit`;
  return `${form} would take ${Math.ceil(allMs!)} ms a frame for ${sessions(slots)}, and ${LIMIT_MS} is the limit`;
}

function problem(shape: Shape, tried: Attempt[], place: Place, overrides: PlanOverrides, limitMs: number): string {
  const smallest = tried.reduce((least, one) => (one.needed < least.needed ? one : least));
  const form = `${formWords(smallest.rung)}, ${sessions(overrides.slots ?? 1)}`;
  if (smallest.short) {
    return `${place.device} has ${gigabytes(place.freeBytes)} free and ${form} needs ${gigabytes(smallest.needed)}`;
  }
  const needed = bandwidthFor(shape, smallest.rung, place, limitMs, overrides);
  const now = `${place.device} reads ${gigabytesPerSecond(place.bandwidth ?? 0)}`;
  return Number.isFinite(needed)
    ? `${now} and ${form} needs ${gigabytesPerSecond(needed)}`
    : `${place.device} has ${place.threads} threads, too few for ${form}`;
}

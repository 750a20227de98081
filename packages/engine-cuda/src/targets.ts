import { EngineError } from './errors';
import type { Hardware } from './hardware';
import type { Plan } from './plan';
import { planCards } from './plan/cards';
import { inWords, judge } from './plan/judge';
import type { PlanOverrides } from './plan/overrides';
import { places } from './plan/places';
import type { Model } from './plan/shapes';
import { formWords, sessions } from './plan/words';
import type { EngineDevice } from './types';
import type { WeightForm } from './weights';

/** Which GPUs a model may run on; see `LoadEngineOptions.gpu`. */
export type GpuChoice = boolean | 'auto' | number | readonly number[];

/** What a user settled about where and how a model runs. */
export interface TargetOptions extends Omit<PlanOverrides, 'device' | 'weights' | 'kv'> {
  gpu?: GpuChoice;
  weights?: WeightForm | 'auto';
  kv?: 'auto' | 'f32' | 'f16' | 'q8';
}

/** A device, and how the model runs on it. */
export interface Target {
  device: EngineDevice['device'];
  weights: WeightForm | 'auto';
  kv: 'auto' | 'f32' | 'f16' | 'q8';
  /** Positions; 0 = the model's own. */
  context: number;
  slots: number;
  /** Left out on the CPU. */
  plan?: Plan;
}

/** Where a model is to run, and what is to be said about it. */
export interface Choice {
  targets: Target[];
  notes: string[];
}

const CPU_CURE = 'with gpu: false it runs on the CPU';

/** Throws `ENGINE_BAD_OPTION` unless `gpu` is something that can be chosen. */
export function checkGpu(gpu: GpuChoice | undefined): void {
  const list = cardsOf(gpu);
  const good = list
    ? list.length > 0 && new Set(list).size === list.length && list.every((index) => isIndex(index))
    : gpu === undefined || gpu === 'auto' || typeof gpu === 'boolean';
  if (good) return;
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    `gpu is ${JSON.stringify(gpu) ?? String(gpu)}; it must be 'auto', true, false, the index of a GPU, or a list of different ones`,
  );
}

/** Whether GPUs were asked for, so that a machine without them is an error. */
export function wantsGpu(gpu: GpuChoice | undefined): boolean {
  return gpu !== undefined && gpu !== 'auto' && gpu !== false;
}

/** Throws `ENGINE_BAD_OPTION` unless the GPUs that were asked for are there and can be used. */
export function checkCards(hardware: Hardware, gpu: GpuChoice | undefined): void {
  const named = cardsOf(gpu);
  const cards = places(hardware).filter(({ device }) => device !== 'cpu');
  const refused = (why: string) =>
    new EngineError('ENGINE_BAD_OPTION', `gpu is ${JSON.stringify(gpu)}: ${why}; ${CPU_CURE}`);
  if (cards.length === 0) {
    throw refused(
      hardware.gpuProblem?.message ?? "there is no NVIDIA GPU, or its driver is missing: see NVIDIA's site",
    );
  }
  for (const index of named ?? []) {
    const card = cards.find(({ device }) => device === `cuda:${index}`);
    if (!card) {
      const known = hardware.gpus.map(({ index, name }) => `${index} (${name})`).join(', ');
      throw refused(`there is no GPU ${index}, this machine has ${known}`);
    }
    if ('problem' in card) throw refused(card.problem);
  }
  const problems = cards.flatMap((card) => ('problem' in card ? [card.problem] : []));
  if (problems.length === cards.length) throw refused(problems.join('; '));
}

/** The CPU, as the options have it. */
export function onCpu({ weights, kv, context, slots }: TargetOptions, ...notes: string[]): Choice {
  const form = { weights: weights ?? 'auto', kv: kv ?? 'auto' };
  return { targets: [{ device: 'cpu', ...form, context: context ?? 0, slots: slots ?? 1 }], notes };
}

/**
 * The GPUs a model is to run on, each with its part, or the CPU where `auto` finds none that runs it: a function of its arguments alone.
 * Throws `ENGINE_BAD_OPTION` with the plan that would fit when what was asked for does not.
 */
export function chooseTargets(hardware: Hardware, model: Model, options: TargetOptions): Choice {
  const named = cardsOf(options.gpu);
  const overrides = planOverrides(options);
  if (named && options.slots !== undefined && options.slots < named.length) {
    throw new EngineError(
      'ENGINE_BAD_OPTION',
      `slots is ${options.slots} and gpu names ${named.length} GPUs: each needs a slot at least`,
    );
  }
  const plans = planCards(hardware, model, overrides, named);
  if (plans.length > 0) {
    const targets = plans.map(({ device, weights, kv, context, slots }, index): Target => {
      return { device, weights, kv, context, slots, plan: plans[index]! };
    });
    const notes = named || options.slots !== undefined ? [] : leftOut(hardware, model, overrides, plans);
    return { targets, notes };
  }
  const problems = problemsOf(hardware, model, overrides, named);
  const would = whatWouldFit(hardware, model, options);
  // What keeps it off a GPU that would run it is an option of the user's: that is for them to settle.
  if (!wantsGpu(options.gpu) && would === undefined) {
    const why = problems.length > 0 ? problems.join('; ') : hardware.gpuProblem?.message;
    return onCpu(options, ...(why === undefined ? [] : [`it runs on the CPU: ${why}`]));
  }
  const said = `${model.name} cannot run as asked: ${problems.join('; ')}`;
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    would ? `${said}. What would: ${would}; ${CPU_CURE}` : `${said}. Free memory of the GPU; ${CPU_CURE}`,
  );
}

/** In words, how the chosen GPUs would run the model if nothing else was settled; undefined when they would not. */
export function whatWouldFit(hardware: Hardware, model: Model, options: TargetOptions): string | undefined {
  const plans = planCards(hardware, model, estimates(options), cardsOf(options.gpu));
  return plans.length > 0 ? plans.map(inWords).join(' and ') : undefined;
}

function cardsOf(gpu: GpuChoice | undefined): readonly number[] | undefined {
  return typeof gpu === 'number' ? [gpu] : Array.isArray(gpu) ? gpu : undefined;
}

function isIndex(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 1000;
}

function estimates({ reservedBytes, paramsBillions, perBatchItemMB }: TargetOptions): PlanOverrides {
  return { reservedBytes, paramsBillions, perBatchItemMB };
}

function planOverrides(options: TargetOptions): PlanOverrides {
  const { weights, kv, context, slots } = options;
  return {
    ...estimates(options),
    ...(weights !== 'auto' && { weights }),
    ...(kv !== 'auto' && { kv }),
    context,
    slots,
  };
}

/** Why the GPUs, or those that are named, do not run the model. */
function problemsOf(
  hardware: Hardware,
  model: Model,
  overrides: PlanOverrides,
  named: readonly number[] | undefined,
): string[] {
  const { slots, ...others } = overrides;
  const without = slots === undefined ? [] : planCards(hardware, model, others, named);
  if (without.length > 1) {
    const most = without.reduce((sum, plan) => sum + plan.slots, 0);
    const devices = without.map(({ device }) => device).join(' and ');
    return [`${devices} hold ${sessions(most)} in ${formWords(without[0]!)}, and ${slots} were asked for`];
  }
  return judge(hardware, model, overrides).flatMap((one) => {
    const asked = one.device !== 'cpu' && (named?.includes(Number(one.device.slice(5))) ?? true);
    return asked && 'problem' in one ? [one.problem] : [];
  });
}

function leftOut(hardware: Hardware, model: Model, overrides: PlanOverrides, plans: readonly Plan[]): string[] {
  return judge(hardware, model, overrides).flatMap((one) => {
    if (one.device === 'cpu' || plans.some(({ device }) => device === one.device)) return [];
    if ('problem' in one) return [`${one.device} is not used: ${one.problem}`];
    const form = formWords(plans[0]!);
    return [`${one.device} is not used: it would run ${formWords(one.plan)}, and ${plans[0]!.device} runs ${form}`];
  });
}

import { EngineError } from './errors';
import type { EngineSessionOptions, SamplingOptions } from './types';

function within(name: string, value: unknown, low: number, high: number, whole: boolean): void {
  const good =
    typeof value === 'number' && value >= low && value <= high && (whole ? Number.isSafeInteger(value) : true);
  if (good) return;
  const range = high >= Number.MAX_SAFE_INTEGER ? `${low} or more` : `${low} to ${high}`;
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    `${name} is ${String(value)}; it must be a ${whole ? 'whole ' : ''}number, ${range}`,
  );
}

/** Throws `ENGINE_BAD_OPTION` when `value` is given and is no whole number from `low` to `high`. */
export function checkWhole(name: string, value: number | undefined, low: number, high: number): void {
  if (value !== undefined) within(name, value, low, high, true);
}

/** Throws `ENGINE_BAD_OPTION` when `value` is given and is no number from `low` to `high`. */
export function checkNumber(name: string, value: number | undefined, low: number, high: number): void {
  if (value !== undefined) within(name, value, low, high, false);
}

// The ranges of the wire, so that a server's client hears of a bad value before it takes a slot.
const RANGES: [keyof SamplingOptions, low: number, high: number, whole: boolean][] = [
  ['textTemperature', 0, 10, false],
  ['audioTemperature', 0, 10, false],
  ['textTopK', 0, 1_000_000, true],
  ['audioTopK', 0, 1_000_000, true],
  ['seed', 0, Number.MAX_SAFE_INTEGER, true],
  ['textSeed', 0, Number.MAX_SAFE_INTEGER, true],
  ['audioSeed', 0, Number.MAX_SAFE_INTEGER, true],
  ['repetitionPenalty', 0.1, 10, false],
  ['repetitionPenaltyContext', 0, 100_000, true],
  ['padMult', -100, 100, false],
];

function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

/** Checks a session's options and settles its seeds. */
export function settleSessionOptions(options: EngineSessionOptions): EngineSessionOptions {
  for (const [name, low, high, whole] of RANGES) {
    if (options[name] !== undefined) within(name, options[name], low, high, whole);
  }
  for (const name of ['voice', 'prompt'] as const) {
    const value = options[name];
    if (value !== undefined && typeof value !== 'string') {
      throw new EngineError('ENGINE_BAD_OPTION', `${name} must be a string`);
    }
  }
  return {
    ...options,
    textSeed: options.textSeed ?? options.seed ?? randomSeed(),
    audioSeed: options.audioSeed ?? options.seed ?? randomSeed(),
  };
}

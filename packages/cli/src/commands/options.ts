import { InvalidArgumentError } from 'commander';

/** A parser of whole numbers from `low` to `high` for an option. */
export function whole(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${low} to ${high}.`);
  };
}

/** A parser of numbers from `low` to `high` for an option. */
export function within(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = /^(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    throw new InvalidArgumentError(`It must be a number from ${low} to ${high}.`);
  };
}

/** Words for `--model`, which many commands have. */
export const MODEL_HELP =
  'folder with a model, or owner/name on the Hugging Face hub (default: the small untrained model inside the package)';

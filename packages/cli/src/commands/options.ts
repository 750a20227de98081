import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ModelChoice } from '../loading';

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

/** What {@link addModelOptions} adds. */
export type ModelFlags = Pick<ModelChoice, 'voices' | 'lora' | 'loraScale' | 'weights' | 'kv' | 'expand'>;

/** Adds the options of commands that run a model: its voices, an adapter, and what to make of it. */
export function addModelOptions(command: Command): Command {
  return command
    .option('--voices <place>', VOICES_HELP)
    .option('--lora <file>', 'LoRA adapter to fuse into the model: a path, or hf://owner/name/file')
    .option('--lora-scale <n>', 'how strongly the adapter acts (default: what the model says)', within(0, 100))
    .addOption(
      new Option(
        '--weights <form>',
        'form the weights are run in; quantized ones are kept beside the model (default: auto)',
      ).choices(['auto', 'stored', 'f16', 'bf16', 'q8', 'mixed', 'q4']),
    )
    .addOption(
      new Option('--kv <type>', "elements of the attention's memory (default: auto)").choices([
        'auto',
        'f32',
        'f16',
        'q8',
      ]),
    )
    .option('--expand', 'load a Moshi model as PersonaPlex, untrained for it: the start of a fine-tuning');
}

/** The options of {@link addModelOptions}, for messages. */
export const MODEL_FLAGS = '--voices, --lora, --lora-scale, --weights, --kv and --expand';

/** Of a command's flags, those of {@link addModelOptions}. */
export function modelFlags({ voices, lora, loraScale, weights, kv, expand }: ModelFlags): ModelFlags {
  return {
    ...(voices !== undefined && { voices }),
    ...(lora !== undefined && { lora }),
    ...(loraScale !== undefined && { loraScale }),
    ...(weights !== undefined && { weights }),
    ...(kv !== undefined && { kv }),
    ...(expand !== undefined && { expand }),
  };
}

/** Words for `--voices`, which many commands have. */
export const VOICES_HELP =
  "voices of yours besides the model's: a folder of .pt, .safetensors and sound files, or a voices.tgz";

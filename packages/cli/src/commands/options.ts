import type { ConnectOptions } from '@moshi/client';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CliError, ExitCode } from '../exit';
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

/** The parser of `--gpu`. */
function gpus(text: string): 'auto' | false | number | number[] {
  if (text === 'auto') return text;
  if (text === 'off') return false;
  const list = /^\d{1,3}(,\d{1,3})*$/.test(text) ? text.split(',').map(Number) : [];
  if (list.length === 0) throw new InvalidArgumentError('It must be auto, off, or numbers of GPUs: 0, or 0,1.');
  return list.length === 1 ? list[0]! : list;
}

/** Words for `--model`, which many commands have. */
export const MODEL_HELP =
  'folder with a model, or owner/name on the Hugging Face hub (default: the small untrained model inside the package)';

/** What {@link addModelOptions} adds. */
export interface ModelFlags
  extends Pick<ModelChoice, 'voices' | 'lora' | 'loraScale' | 'weights' | 'kv' | 'context' | 'gpu' | 'expand'> {
  reserve?: number;
}

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
    .option(
      '--context <n>',
      'positions the attention looks back, 12.5 a second (default: what suits the device)',
      whole(1, 1_048_576),
    )
    .option('--gpu <which>', 'GPUs it may run on: auto, off, or their numbers, as 0 or 0,1 (default: auto)', gpus)
    .option('--reserve <MB>', 'memory of a GPU that is left alone (default: 512)', whole(0, 1_000_000))
    .option('--expand', 'load a Moshi model as PersonaPlex, untrained for it: the start of a fine-tuning');
}

/** The options of {@link addModelOptions}, for messages. */
export const MODEL_FLAGS = '--voices, --lora, --lora-scale, --weights, --kv, --context, --gpu, --reserve and --expand';

/** What those of {@link addModelOptions} among a command's flags ask for. */
export function modelFlags(flags: ModelFlags): Partial<ModelChoice> {
  const { voices, lora, loraScale, weights, kv, context, gpu, reserve, expand } = flags;
  return {
    ...(voices !== undefined && { voices }),
    ...(lora !== undefined && { lora }),
    ...(loraScale !== undefined && { loraScale }),
    ...(weights !== undefined && { weights }),
    ...(kv !== undefined && { kv }),
    ...(context !== undefined && { context }),
    ...(gpu !== undefined && { gpu }),
    ...(reserve !== undefined && { reservedBytes: reserve * 1e6 }),
    ...(expand !== undefined && { expand }),
  };
}

/** Words for `--voices`, which many commands have. */
export const VOICES_HELP =
  "voices of yours besides the model's: a folder of .pt, .safetensors and sound files, or a voices.tgz";

/** What {@link addPersonaOptions} and {@link addServerOptions} add. */
export interface TalkFlags {
  seed?: number;
  textTemperature?: number;
  textTopk?: number;
  audioTemperature?: number;
  audioTopk?: number;
  voice?: string;
  prompt?: string;
  sayOnly?: boolean;
  dialect?: ConnectOptions['dialect'];
  insecure?: boolean;
  key?: string;
}

/** Adds how the model draws, and who it is; `seed` says what becomes of draws without one. */
export function addPersonaOptions(command: Command, seed = 'random'): Command {
  return command
    .option(
      '--seed <n>',
      `seed of the draws, for the same answer again (default: ${seed})`,
      whole(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--text-temperature <t>', 'temperature of text tokens; 0 always takes the likeliest', within(0, 10))
    .option('--text-topk <n>', 'text tokens to choose from', whole(0, 1_000_000))
    .option('--audio-temperature <t>', 'temperature of audio tokens', within(0, 10))
    .option('--audio-topk <n>', 'audio tokens to choose from', whole(0, 1_000_000))
    .option('--voice <name>', 'voice, for models that have voices; see moshi voice list')
    .option('--prompt <text>', 'role of the model in words, for models that take one');
}

/** Adds how to reach a server. */
export function addServerOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--dialect <name>', 'server family').choices([
        'auto',
        'moshi',
        'moshi-rust',
        'personaplex',
        'moshi-server',
      ]),
    )
    .option('--insecure', 'accept any TLS certificate')
    .option('--key <key>', 'key of a server that asks for one');
}

/** What the flags ask of a connection; the seed is not among it. Throws when the server family takes no seed. */
export function talkOptions(flags: TalkFlags): ConnectOptions {
  const { textTemperature, textTopk: textTopK, audioTemperature, audioTopk: audioTopK } = flags;
  const { voice, prompt, sayOnly, dialect, insecure } = flags;
  if (dialect === 'moshi-server' && flags.seed !== undefined) {
    throw new CliError(ExitCode.usage, 'moshi-server takes no seed: leave out --seed');
  }
  const headers = flags.key === undefined ? undefined : { authorization: `Bearer ${flags.key}` };
  const persona = { voice, prompt, ...(sayOnly && { sayOnly }) };
  return { textTemperature, textTopK, audioTemperature, audioTopK, ...persona, dialect, insecure, headers };
}

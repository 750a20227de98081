import { HubError } from './errors';

/** What a file is for. */
export type Role = 'tokenizer' | 'mimiConfig' | 'mimiWeights' | 'loraWeights' | 'lmWeights';

interface RoleRule {
  /** The key of config.json that names the file. */
  readonly key: string;
  /** The name where config.json does not say; undefined: then there is no such file. */
  readonly fallback: string | undefined;
  /** Names it also goes by, tried in turn where a folder cannot be listed. */
  readonly others?: readonly string[];
  /** In words, for messages. */
  readonly what: string;
  /** Whether a file of another name may well be it. */
  readonly plausible: (name: string) => boolean;
}

const WEIGHTS = /\.(safetensors|sft|sfts|gguf)$/i;
const CODEC = /mimi|tokenizer/i;

/** Names and defaults of Moshi-family repositories. */
export const ROLES: Readonly<Record<Role, RoleRule>> = {
  tokenizer: {
    key: 'tokenizer_name',
    fallback: 'tokenizer_spm_32k_3.model',
    what: 'the text tokenizer',
    plausible: (name) => /\.model$/i.test(name),
  },
  mimiConfig: { key: 'mimi_config_name', fallback: undefined, what: "Mimi's config", plausible: () => false },
  mimiWeights: {
    key: 'mimi_name',
    fallback: 'tokenizer-e351c8d8-checkpoint125.safetensors',
    what: "Mimi's weights",
    plausible: (name) => WEIGHTS.test(name) && CODEC.test(name),
  },
  loraWeights: { key: 'lora_name', fallback: undefined, what: 'the LoRA weights', plausible: () => false },
  lmWeights: {
    key: 'moshi_name',
    fallback: 'model.safetensors',
    others: ['model.q8.safetensors', 'model.q4.safetensors', 'model.q8.gguf', 'model.q4.gguf', 'model.gguf'],
    what: "the language model's weights",
    plausible: (name) => WEIGHTS.test(name) && !CODEC.test(name) && !/lora/i.test(name),
  },
};

/** The name config.json gives a role: as written, untrusted; undefined when it says nothing. */
export function configuredName(config: object | null, role: Role): unknown {
  const value = (config as Record<string, unknown> | null)?.[ROLES[role].key];
  return value === null || value === '' ? undefined : value;
}

/**
 * The file of a folder that fills a role though it has another name: the only plausible one, if there is just one.
 * `codecOnly`: nothing but a codec is looked for, so a lone weights file of any name is one.
 */
export function plausibleName(names: readonly string[], role: Role, codecOnly: boolean): string | undefined {
  const named = names.filter(ROLES[role].plausible);
  const fitting = named.length === 0 && codecOnly ? names.filter((name) => WEIGHTS.test(name)) : named;
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** The error for roles nobody fills: what is missing, what is there, what to do. */
export function missingFiles(
  where: string,
  missing: readonly { role: Role; name: string }[],
  names?: readonly string[],
): HubError {
  const wanted = missing.map(({ role, name }) => `${name} (${ROLES[role].what})`).join(', ');
  const keys = missing.map(({ role }) => ROLES[role].key).join(', ');
  const shown = names?.slice(0, 20).join(', ');
  const there = names === undefined ? '' : ` It holds: ${shown || 'nothing'}${names.length > 20 ? ', …' : ''}.`;
  return new HubError(
    'missing-file',
    `${where} has no ${wanted}.${there} Is it a Moshi-family model? Other file names go into its config.json as ${keys}.`,
  );
}

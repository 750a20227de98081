import type { ChatQueryName, Dialect } from './dialects';
import { ProtocolError } from './errors';

/** What a caller may ask of a server when it connects; everything is optional. */
export interface ChatParameters {
  /** 0 (greedy) to 10. */
  textTemperature?: number;
  /** Text tokens to choose from, 0 for all. */
  textTopK?: number;
  /** 0 (greedy) to 10. */
  audioTemperature?: number;
  /** Audio tokens to choose from, 0 for all. */
  audioTopK?: number;
  /** Seed of the text tokens. */
  textSeed?: number;
  /** Seed of the audio tokens. */
  audioSeed?: number;
  /** Seed of both. */
  seed?: number;
  /** Added to the score of the padding token, -100 to 100. */
  padMult?: number;
  /** Divides the score of recent text tokens, 0.1 to 10; 1 changes nothing. */
  repetitionPenalty?: number;
  /** How many text tokens count as recent. */
  repetitionPenaltyContext?: number;
  /** Model steps (80 ms each) after which the server ends the session. */
  maxSteps?: number;
  /** Name of a voice file of the server, as `NATF0.pt`. */
  voice?: string;
  /** The role the model is to play, in words. */
  prompt?: string;
  /** The model speaks only the text it is given with `say`. */
  sayOnly?: boolean;
  /** Stored in the log of moshi-backend. */
  email?: string;
  /** Ticket of a queue in front of the server. */
  workerAuthId?: string;
  /** Ask for this project's own messages (types from 0x20). */
  extensions?: boolean;
}

/** What {@link parseChatQuery} found. */
export interface ParsedChatQuery {
  /** The good values. */
  parameters: ChatParameters;
  /** One sentence for each bad value; empty when all is well. */
  problems: string[];
}

interface NumberField {
  wire: ChatQueryName;
  key: keyof ChatParameters;
  kind: 'number' | 'integer';
  min: number;
  max: number;
}

interface TextField {
  wire: ChatQueryName;
  key: keyof ChatParameters;
  kind: 'text' | 'name';
  /** In UTF-16 units. */
  max: number;
}

const integer = (wire: ChatQueryName, key: keyof ChatParameters, min: number, max: number): NumberField => {
  return { wire, key, kind: 'integer', min, max };
};
const number = (wire: ChatQueryName, key: keyof ChatParameters, min: number, max: number): NumberField => {
  return { wire, key, kind: 'number', min, max };
};

const fields: readonly (NumberField | TextField)[] = [
  number('text_temperature', 'textTemperature', 0, 10),
  integer('text_topk', 'textTopK', 0, 1_000_000),
  number('audio_temperature', 'audioTemperature', 0, 10),
  integer('audio_topk', 'audioTopK', 0, 1_000_000),
  integer('text_seed', 'textSeed', 0, Number.MAX_SAFE_INTEGER),
  integer('audio_seed', 'audioSeed', 0, Number.MAX_SAFE_INTEGER),
  // -1 is PersonaPlex's word for "no seed".
  integer('seed', 'seed', -1, Number.MAX_SAFE_INTEGER),
  number('pad_mult', 'padMult', -100, 100),
  number('repetition_penalty', 'repetitionPenalty', 0.1, 10),
  integer('repetition_penalty_context', 'repetitionPenaltyContext', 0, 100_000),
  integer('max_steps', 'maxSteps', 1, Number.MAX_SAFE_INTEGER),
  { wire: 'voice_prompt', key: 'voice', kind: 'name', max: 255 },
  { wire: 'text_prompt', key: 'prompt', kind: 'text', max: 20_000 },
  { wire: 'email', key: 'email', kind: 'text', max: 320 },
  { wire: 'worker_auth_id', key: 'workerAuthId', kind: 'text', max: 1000 },
];

const switches = [
  ['say_only', 'sayOnly'],
  ['extensions', 'extensions'],
] as const satisfies readonly (readonly [ChatQueryName, keyof ChatParameters])[];

const publishedVoice = /^(NAT|VAR)[FM]\d$/;

/**
 * The query string that asks a server of this dialect for these parameters; what the dialect does not know is left
 * out. PersonaPlex needs a voice and a non-empty prompt, so it gets the official client's voice (`NATF0.pt`) and one
 * space when there are none; its published voices may be named without `.pt`. To servers with extensions `no_voice=1` then
 * says that the voice is only there because NVIDIA's server cannot do without.
 * Throws {@link ProtocolError} (`unencodable`) on a number outside its range.
 */
export function chatQuery(dialect: Dialect, parameters: ChatParameters): URLSearchParams {
  const query = new URLSearchParams();
  const wanted = dialect.name === 'personaplex' ? personaPlexParameters(parameters) : parameters;
  for (const field of fields) {
    const value = wanted[field.key];
    if (value === undefined || !dialect.query.includes(field.wire)) continue;
    const problem = 'min' in field ? rangeProblem(field, value, field.key) : undefined;
    if (problem) throw new ProtocolError('unencodable', problem);
    query.set(field.wire, String(value));
  }
  if (dialect.query.includes('no_voice') && parameters.extensions && !parameters.voice) query.set('no_voice', '1');
  for (const [wire, key] of switches) {
    if (parameters[key] && dialect.query.includes(wire)) query.set(wire, '1');
  }
  return query;
}

/**
 * Reads the query string of a connection, on the server's side. Strict: a bad value is left out and told in
 * `problems`, naming the parameter, the value and what is allowed. Unknown parameters are ignored, empty texts and
 * `seed=-1` mean "not given".
 */
export function parseChatQuery(query: URLSearchParams): ParsedChatQuery {
  const found: Partial<Record<keyof ChatParameters, unknown>> = {};
  const problems: string[] = [];
  const read = (wire: ChatQueryName, parse: (text: string) => void) => {
    const values = query.getAll(wire);
    if (values.length > 1) problems.push(`${wire} is given ${values.length} times; give it once.`);
    else if (values[0] !== undefined) parse(values[0]);
  };
  for (const field of fields) {
    read(field.wire, (text) => {
      const { value, problem } = 'min' in field ? parseNumber(field, text) : parseText(field, text);
      if (problem) problems.push(problem);
      else if (value !== undefined) found[field.key] = value;
    });
  }
  for (const [wire, key] of switches) {
    read(wire, (text) => {
      if (/^(1|true)$/.test(text)) found[key] = true;
      else if (/^(0|false)$/.test(text)) found[key] = false;
      else problems.push(`${wire} is ${quote(text)}; it must be 0 or 1.`);
    });
  }
  if (found.seed === -1) delete found.seed;
  if (query.get('no_voice') === '1') delete found.voice;
  return { parameters: found as ChatParameters, problems };
}

function personaPlexParameters(parameters: ChatParameters): ChatParameters {
  const voice = parameters.voice || 'NATF0.pt';
  return {
    ...parameters,
    voice: publishedVoice.test(voice) ? `${voice}.pt` : voice,
    prompt: parameters.prompt || ' ',
  };
}

function parseNumber(field: NumberField, text: string): { value?: number; problem?: string } {
  const value = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : Number.NaN;
  const problem = rangeProblem(field, value, field.wire, text);
  return problem ? { problem } : { value };
}

function rangeProblem(
  { kind, min, max }: NumberField,
  value: unknown,
  name: string,
  given = value,
): string | undefined {
  const good =
    typeof value === 'number' && value >= min && value <= max && (kind === 'number' || Number.isInteger(value));
  if (good) return undefined;
  return `${name} is ${quote(given)}; it must be a ${kind === 'integer' ? 'whole ' : ''}number from ${min} to ${max}.`;
}

function parseText({ wire, kind, max }: TextField, text: string): { value?: string; problem?: string } {
  const value = text.trim();
  if (value === '') return {};
  if (value.length > max) return { problem: `${wire} has ${value.length} characters; at most ${max} are allowed.` };
  // A voice is a file in the server's folder of voices, never a path out of it.
  if (kind === 'name' && /[/\\:\p{Cc}]|^\.+$/u.test(value)) {
    return { problem: `${wire} is ${quote(text)}; it must be the name of a voice, without a folder.` };
  }
  return { value };
}

function quote(value: unknown): string {
  const text = String(value);
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** A sampling setting: where its slider begins and ends, and what the models take when nothing is said. */
export interface SamplingField {
  readonly name: SamplingName;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly byDefault: number;
}

export type SamplingName =
  | 'textTemperature'
  | 'textTopK'
  | 'audioTemperature'
  | 'audioTopK'
  | 'padMult'
  | 'repetitionPenalty'
  | 'repetitionPenaltyContext';

/** The sliders of the official pages, with their bounds. */
export const samplingFields: readonly SamplingField[] = [
  { name: 'textTemperature', min: 0.2, max: 1.2, step: 0.01, byDefault: 0.7 },
  { name: 'textTopK', min: 10, max: 500, step: 1, byDefault: 25 },
  { name: 'audioTemperature', min: 0.2, max: 1.2, step: 0.01, byDefault: 0.8 },
  { name: 'audioTopK', min: 10, max: 500, step: 1, byDefault: 250 },
  { name: 'padMult', min: -4, max: 4, step: 0.05, byDefault: 0 },
  { name: 'repetitionPenalty', min: 1, max: 2, step: 0.01, byDefault: 1 },
  { name: 'repetitionPenaltyContext', min: 0, max: 200, step: 1, byDefault: 64 },
];

export type Theme = 'system' | 'light' | 'dark';

/** What the visitor chose; nothing in it is needed for a conversation. */
export interface Settings {
  /** Name of a voice, empty for the model's own choice. */
  readonly voice: string;
  /** The role the model plays, empty for none. */
  readonly prompt: string;
  /** Only what differs from the model's defaults. */
  readonly sampling: Readonly<Partial<Record<SamplingName, number>>>;
  /** Of both samplers; undefined for another one each time. */
  readonly seed?: number;
  readonly inputId?: string;
  readonly outputId?: string;
  /** 0 to 1. */
  readonly volume: number;
  readonly echoCancellation: boolean;
  readonly noiseSuppression: boolean;
  readonly autoGainControl: boolean;
  readonly theme: Theme;
}

export const defaultSettings: Settings = {
  voice: '',
  prompt: '',
  sampling: {},
  volume: 1,
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  theme: 'system',
};

export const MAX_PROMPT = 4000;
export const MAX_SEED = 2 ** 31 - 1;

/** Where settings are kept: the browser's localStorage, by shape. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

const KEY = 'moshi.settings';

/** What was stored, each value checked; the default for everything that is not there or makes no sense. */
export function loadSettings(store: Store | undefined): Settings {
  let stored: unknown;
  try {
    stored = JSON.parse(store?.getItem(KEY) ?? 'null');
  } catch {
    return defaultSettings;
  }
  return typeof stored === 'object' && stored !== null ? checked(stored as Record<string, unknown>) : defaultSettings;
}

/** Keeps settings, where the browser lets a page keep anything. */
export function saveSettings(store: Store | undefined, settings: Settings): void {
  try {
    store?.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Storage that is full or forbidden costs a choice on the next visit, and nothing in this one.
  }
}

/** What of the settings a conversation is opened with. */
export function parametersOf({ voice, prompt, sampling, seed }: Settings): Record<string, string | number> {
  return {
    ...sampling,
    ...(seed !== undefined && { seed }),
    ...(voice !== '' && { voice }),
    ...(prompt.trim() !== '' && { prompt: prompt.trim() }),
  };
}

/** Sampling with one value changed; the default is kept by leaving it out. */
export function withSampling(settings: Settings, field: SamplingField, value: number): Settings {
  const { [field.name]: _, ...others } = settings.sampling;
  if (!inRange(value, field) || value === field.byDefault) return { ...settings, sampling: others };
  return { ...settings, sampling: { ...others, [field.name]: value } };
}

function checked(stored: Record<string, unknown>): Settings {
  const text = (value: unknown, most: number) =>
    typeof value === 'string' && value.length <= most ? value : undefined;
  const yes = (value: unknown) => value !== false;
  const sampling: Partial<Record<SamplingName, number>> = {};
  const kept = (stored.sampling ?? {}) as Record<string, unknown>;
  for (const field of samplingFields) {
    const value = kept[field.name];
    if (typeof value === 'number' && inRange(value, field)) sampling[field.name] = value;
  }
  const { volume, seed, theme } = stored;
  return {
    voice: text(stored.voice, 255) ?? '',
    prompt: text(stored.prompt, MAX_PROMPT) ?? '',
    sampling,
    ...(isSeed(seed) && { seed }),
    ...(text(stored.inputId, 1000) && { inputId: text(stored.inputId, 1000) }),
    ...(text(stored.outputId, 1000) && { outputId: text(stored.outputId, 1000) }),
    volume: typeof volume === 'number' && volume >= 0 && volume <= 1 ? volume : 1,
    echoCancellation: yes(stored.echoCancellation),
    noiseSuppression: yes(stored.noiseSuppression),
    autoGainControl: yes(stored.autoGainControl),
    theme: theme === 'light' || theme === 'dark' ? theme : 'system',
  };
}

/** Whether this is a whole number that every server takes as a seed. */
export function isSeed(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_SEED;
}

function inRange(value: number, { min, max }: SamplingField): boolean {
  return value >= min && value <= max;
}

import type { Plan } from './plan';

/** How tokens are drawn. Every value left out is the checkpoint's own. */
export interface SamplingOptions {
  /** Temperature of text tokens, 0 (always the likeliest) to 10; the reference's default is 0.7. */
  textTemperature?: number;
  /** Text tokens considered in a draw, 0 = all; 25. */
  textTopK?: number;
  /** Temperature of audio tokens, 0 to 10; 0.8. */
  audioTemperature?: number;
  /** Audio tokens considered in a draw, 0 = all; 250. */
  audioTopK?: number;
  /** Seed of both text and audio, a whole number from 0 to 2^53 - 1; random when left out. */
  seed?: number;
  /** Seed of text draws; overrides `seed`. */
  textSeed?: number;
  /** Seed of audio draws; overrides `seed`. */
  audioSeed?: number;
  /** Divides the likelihood of text tokens said lately, 0.1 to 10, 1 = off. */
  repetitionPenalty?: number;
  /** How many text tokens back the penalty looks, 0 to 100 000. */
  repetitionPenaltyContext?: number;
  /** Makes padding e^this times as likely, -100 to 100: positive means more pauses; no effect at temperature 0. */
  padMult?: number;
}

/** What a conversation starts with. */
export interface EngineSessionOptions extends SamplingOptions {
  /** Voice of PersonaPlex by name, with or without file extension (see `Engine.voices`); other models ignore it. '' = none. */
  voice?: string;
  /** Role prompt of PersonaPlex, put between `<system>` tags unless it is; other models ignore it, as stock servers do. */
  prompt?: string;
  /** The model speaks only what `say` gives it and is silent otherwise. Default false. */
  sayOnly?: boolean;
}

/** How a text is spoken. */
export interface SayOptions {
  /**
   * Who has the floor. `interrupt` (default): the text begins at once, in place of what the model was saying. `wait`: it begins
   * when neither side has spoken for half a second, 10 s at the latest. Texts never overlap: each follows the one before.
   */
  floor?: 'interrupt' | 'wait';
}

/** What became of a text given to `say`. */
export interface EngineSayEvent {
  /** `start` and `word` come just before the frame with the word's first piece, `end` just after the one with its last. */
  type: 'start' | 'word' | 'end';
  /** As `say` returned it. */
  id: number;
  /** start: the whole text; word: that word, no blanks around it; end: what was really spoken. */
  text: string;
  /** Of `end`: false when it was cancelled before its last word. */
  completed?: boolean;
}

/** A voice of an engine. */
export interface EngineVoice {
  /** Name to open a session with; file name without extension. */
  name: string;
}

/** One device that an engine runs on. */
export interface EngineDevice {
  /** `cpu`, or a GPU by its index. */
  device: 'cpu' | `cuda:${number}`;
  /** Conversations at once on this device. */
  slots: number;
  weights: string;
  kv: string;
  /** Positions the attention looks back; 12.5 a second. */
  context: number;
  /** Whether its slots keep up; null where that was not timed. */
  keepsUp: boolean | null;
  /** What its frames took when it timed itself after loading, in milliseconds; left out where it did not. */
  rehearsal?: readonly { sessions: number; ms: number }[];
  /** The plan it followed; left out on the CPU. */
  plan?: Plan;
}

/** What a loaded engine is. */
export interface EngineInfo {
  /** The reference it was loaded from. */
  model: string;
  /** The family of the checkpoint, which decides how its loop runs. */
  dialect: 'moshi' | 'personaplex';
  /** Hz, mono. */
  sampleRate: 24000;
  /** Samples a frame: 80 ms. */
  frameSamples: 1920;
  /** Conversations at once, on all devices together. */
  slots: number;
  /** False for the embedded default, whose weights are random. */
  trained: boolean;
  /** What its sessions can do beyond listening and talking. */
  features: readonly ('say' | 'interrupt' | 'endTurn')[];
  /** Where it runs: one entry, or one for each of several GPUs. */
  devices: readonly EngineDevice[];
  /** Whether a frame of as many conversations as it has slots leaves time to spare in its 80 ms; null where that was not timed. */
  keepsUp: boolean | null;
  /** What whoever runs it should know, a sentence each: why it runs where it does, or that it is too slow. */
  notes: readonly string[];
  details: Record<string, string | number | boolean>;
}

/** The engine's answer to one frame of input. */
export interface EngineFrame {
  /** Index of the input frame it answers, from 0. */
  step: number;
  /** 1920 samples at 24 kHz, or null while the model's delay fills (the first frame). */
  pcm: Float32Array | null;
  /** The text token's piece, a leading space where it begins a word, null for padding; byte pieces are literal "<0xNN>". */
  text: string | null;
  /** The text token, -1 while the delay fills. */
  token: number;
  /** Milliseconds: Mimi encoding of this session, the language model step of the whole batch, Mimi decoding. */
  timing: { encodeMs: number; lmMs: number; decodeMs: number };
}

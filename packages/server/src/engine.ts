/** How an engine should sample its tokens. A field left out takes the model's default (given here for Moshi). */
export interface SamplingOptions {
  /** Temperature of the text token, 0 = greedy; Moshi's default is 0.7. */
  textTemperature?: number;
  /** How many of the likeliest text tokens may be drawn; Moshi's default is 25. */
  textTopK?: number;
  /** Temperature of the audio tokens, 0 = greedy; Moshi's default is 0.8. */
  audioTemperature?: number;
  /** How many of the likeliest audio tokens may be drawn; Moshi's default is 250. */
  audioTopK?: number;
  /** Seed of the text sampler; `seed` when left out. */
  textSeed?: number;
  /** Seed of the audio sampler; `seed` when left out. */
  audioSeed?: number;
  /** Seed of both samplers; random when left out. */
  seed?: number;
  /** Divides the logits of recent text tokens, 1 = off. */
  repetitionPenalty?: number;
  /** How many text tokens back the penalty looks. */
  repetitionPenaltyContext?: number;
  /** Added to the logit of the padding token: above 0 the model speaks less, below 0 more. */
  padMult?: number;
}

/** What one conversation asks of the engine. */
export interface EngineSessionOptions extends SamplingOptions {
  /** Name of a voice the engine knows; the engine refuses names it does not know (and must never use them as paths). */
  voice?: string;
  /** Text prompt: the role the model plays. */
  prompt?: string;
  /** The model speaks only what {@link EngineSession.say} gives it. Default false. */
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

/** What became of a text given to {@link EngineSession.say}. */
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
  /** Name to open a session with. */
  name: string;
}

/** What an engine is, told to clients in the metadata message and on the plain page. */
export interface EngineInfo {
  /** Name of the model, such as `kyutai/moshiko-pytorch-bf16`. */
  model: string;
  /** Model family; `loopback` has no model. */
  dialect: 'moshi' | 'personaplex' | 'loopback';
  /** Samples a second of all PCM. */
  sampleRate: 24000;
  /** Samples in one frame (80 ms). */
  frameSamples: 1920;
  /** Conversations the engine can hold at the same time, at least 1. */
  slots: number;
  /** False when the weights are random (the embedded default): it then babbles and that is no fault. */
  trained: boolean;
  /** What its sessions can do beyond listening and talking; left out: nothing. */
  features?: readonly ('say' | 'interrupt' | 'endTurn')[];
  /** Whether it computes as many conversations as it has slots in real time; null or left out where nobody knows. */
  keepsUp?: boolean | null;
  /** What whoever runs it should know, a sentence each; clients are not told. */
  notes?: readonly string[];
  /** Free facts about this engine (device, weight type, …), passed on to clients that ask for them. */
  details: Record<string, string | number | boolean>;
}

/** The answer to one input frame. */
export interface EngineFrame {
  /** Index of the input frame it answers, from 0 after `open` and after `reset`. */
  step: number;
  /** 1920 samples of mono PCM in [-1, 1], or null while the model's delay fills (the first frame of Moshi). */
  pcm: Float32Array | null;
  /** Raw text piece, a leading space where it begins a word, or null when the text token is padding. */
  text: string | null;
  /** Id of the text token, -1 when there is none. */
  token: number;
  /** Where the time of this step went, in milliseconds. */
  timing: { encodeMs: number; lmMs: number; decodeMs: number };
}

/** One conversation inside an engine; it holds a slot until {@link EngineSession.close} resolves. */
export interface EngineSession {
  /** Takes mono 24 kHz PCM of any length, copies it and cuts it into frames; each whole frame gives one `frame` event. */
  push(pcm: Float32Array): void;
  /** Whole frames pushed but not yet stepped. */
  readonly queued: number;
  /** Starts the conversation anew and drops queued input. */
  reset(): Promise<void>;
  /** Gives the slot back; idempotent, no events after it resolves. */
  close(): Promise<void>;
  /**
   * Lets the model speak `text` in its own voice; texts queue up. Returns its number, from 1; event `say` tells how it goes.
   * No event about it comes before it returns. Throws `code: 'ENGINE_BAD_OPTION'` on text it cannot speak. Optional, as the next
   * three: `info.features` tells.
   */
  say?(text: string, options?: SayOptions): number;
  /** Takes back one text, or all of them; a word on its way is finished. */
  cancelSay?(id?: number): void;
  /** Takes back all texts, and the model stops speaking. */
  interrupt?(): void;
  /** The user's turn is over: the model begins to speak now. */
  endTurn?(): void;
  /** No frames come until `resume`, as the client asked; for engines that would go on of themselves. */
  pause?(): void;
  /** Frames come again. */
  resume?(): void;
  /** Calls the listener with what becomes of the texts given to `say`. */
  on(event: 'say', listener: (event: EngineSayEvent) => void): this;
  /** Calls the listener with the answer to each input frame, in order. */
  on(event: 'frame', listener: (frame: EngineFrame) => void): this;
  /** Calls the listener when this conversation cannot go on. */
  on(event: 'error', listener: (error: Error) => void): this;
  /** Takes the `say` listener away. */
  off(event: 'say', listener: (event: EngineSayEvent) => void): this;
  /** Takes the `frame` listener away. */
  off(event: 'frame', listener: (frame: EngineFrame) => void): this;
  /** Takes the `error` listener away. */
  off(event: 'error', listener: (error: Error) => void): this;
}

/** Whatever turns the user's audio into the model's; the server knows nothing else about models. */
export interface Engine {
  /** What this engine is; constant. */
  readonly info: EngineInfo;
  /**
   * Opens a conversation with its prompts already stepped in.
   * Rejects with `code: 'ENGINE_FULL'` when no slot is free and `code: 'ENGINE_BAD_OPTION'` when an option is bad.
   */
  open(options?: EngineSessionOptions): Promise<EngineSession>;
  /** The voices a session may be opened with, sorted by name; left out: none. */
  voices?(): Promise<EngineVoice[]>;
  /** Closes every session and frees the model. The server never calls it: the engine is its owner's. */
  close(): Promise<void>;
}

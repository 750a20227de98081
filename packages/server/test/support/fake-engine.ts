import { EventEmitter } from 'node:events';
import type {
  Engine,
  EngineFrame,
  EngineInfo,
  EngineSayEvent,
  EngineSession,
  EngineSessionOptions,
  EngineVoice,
  SayOptions,
} from '@moshi/server';

/** The answer to input frame `step`, as far as a test cares. */
export type Script = (step: number, input: Float32Array) => { pcm?: Float32Array | null; text?: string | null };

export interface FakeEngineOptions {
  slots?: number;
  /** Default: null for the first frame, then the input of one frame ago; no text. */
  script?: Script;
  /** False: frames are answered only by {@link FakeSession.step}. */
  auto?: boolean;
  /** True: sessions can say texts, one word a frame, in place of the script's. */
  speaks?: boolean;
  /** Voices it knows; others are refused by name. */
  voices?: string[];
  /** Runs before a session opens: throw here, or await something. */
  opening?: (options: EngineSessionOptions) => void | Promise<void>;
}

/** An engine that does what a test tells it and remembers what it was told. */
export class FakeEngine implements Engine {
  readonly info: EngineInfo;
  readonly opened: FakeSession[] = [];
  readonly asked: EngineSessionOptions[] = [];
  readonly options: FakeEngineOptions;
  active = 0;
  readonly voices?: () => Promise<EngineVoice[]>;

  constructor(options: FakeEngineOptions = {}) {
    this.options = options;
    this.info = {
      model: 'fake/<model>',
      dialect: 'moshi',
      sampleRate: 24000,
      frameSamples: 1920,
      slots: options.slots ?? 1,
      trained: false,
      details: { device: 'none' },
      ...(options.speaks && { features: ['say', 'interrupt', 'endTurn'] as const }),
    };
    const { voices } = options;
    if (voices) this.voices = async () => voices.map((name) => ({ name }));
  }

  async open(options: EngineSessionOptions = {}): Promise<EngineSession> {
    this.asked.push(options);
    if (this.active >= this.info.slots) throw Object.assign(new Error('no slot is free'), { code: 'ENGINE_FULL' });
    this.active++;
    try {
      await this.options.opening?.(options);
    } catch (error) {
      this.active--;
      throw error;
    }
    const { voices, speaks } = this.options;
    if (voices && options.voice && !voices.includes(options.voice.replace(/\.pt$/, ''))) {
      this.active--;
      const message = `there is no voice "${options.voice}"; the voices are ${voices.join(', ')}`;
      throw Object.assign(new Error(message), { code: 'ENGINE_BAD_OPTION' });
    }
    const session = speaks ? new SpeakingSession(this) : new FakeSession(this);
    this.opened.push(session);
    return session;
  }

  async close(): Promise<void> {
    throw new Error('the server must not close the engine');
  }
}

export class FakeSession extends EventEmitter implements EngineSession {
  readonly #engine: FakeEngine;
  readonly #script: Script;
  #queue: Float32Array[] = [];
  #rest = new Float32Array(0);
  #last: Float32Array | null = null;
  #step = 0;
  readonly pushed: number[] = [];
  resets = 0;
  closed = false;
  mostQueued = 0;
  resetting: Promise<void> = Promise.resolve();

  constructor(engine: FakeEngine) {
    super();
    this.#engine = engine;
    this.#script = engine.options.script ?? (() => ({ pcm: this.#last }));
  }

  get queued(): number {
    return this.#queue.length;
  }

  push(pcm: Float32Array): void {
    if (this.closed) throw new Error('pushed to a closed session');
    this.pushed.push(pcm.length);
    const all = new Float32Array(this.#rest.length + pcm.length);
    all.set(this.#rest);
    all.set(pcm, this.#rest.length);
    let at = 0;
    for (; at + 1920 <= all.length; at += 1920) this.#queue.push(all.slice(at, at + 1920));
    this.#rest = all.slice(at);
    this.mostQueued = Math.max(this.mostQueued, this.#queue.length);
    if (this.#engine.options.auto !== false) setImmediate(() => this.step());
  }

  /** Answers the oldest queued frame. */
  step(): void {
    const input = this.#queue.shift();
    if (!input || this.closed) return;
    const step = this.#step++;
    const word = this.nextWord();
    const { pcm = null, text = null } = word === undefined ? this.#script(step, input) : { pcm: input, text: word };
    this.#last = input;
    const frame: EngineFrame = {
      step,
      pcm,
      text,
      token: text === null ? -1 : 1,
      timing: { encodeMs: 0, lmMs: 0, decodeMs: 0 },
    };
    this.emit('frame', frame);
    this.spoken();
  }

  /** Text of this step in place of the script's. */
  nextWord(): string | undefined {
    return undefined;
  }

  spoken(): void {}

  async reset(): Promise<void> {
    this.resets++;
    this.#queue = [];
    this.#rest = new Float32Array(0);
    this.#last = null;
    this.#step = 0;
    await this.resetting;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.#engine.active--;
  }
}

/** A session that says texts, a word a frame. */
export class SpeakingSession extends FakeSession {
  readonly said: { id: number; text: string; options?: SayOptions }[] = [];
  readonly #queue: { id: number; text: string; words: string[]; spoken: string[] }[] = [];
  #last = 0;
  turns = 0;
  interruptions = 0;

  say(text: string, options?: SayOptions): number {
    if (text.includes('unspeakable')) {
      throw Object.assign(new Error('there are no pieces for this'), { code: 'ENGINE_BAD_OPTION' });
    }
    const id = ++this.#last;
    this.said.push({ id, text, options });
    this.#queue.push({ id, text, words: text.split(/\s+/), spoken: [] });
    return id;
  }

  cancelSay(id?: number): void {
    for (const one of this.#queue.splice(0)) {
      if (id !== undefined && one.id !== id) this.#queue.push(one);
      else this.#tell({ type: 'end', id: one.id, text: one.spoken.join(' '), completed: false });
    }
  }

  override reset(): Promise<void> {
    this.cancelSay();
    return super.reset();
  }

  interrupt(): void {
    this.interruptions++;
    this.cancelSay();
  }

  endTurn(): void {
    this.turns++;
  }

  override nextWord(): string | undefined {
    const one = this.#queue[0];
    if (!one) return undefined;
    if (one.spoken.length === 0) this.#tell({ type: 'start', id: one.id, text: one.text });
    const word = one.words[one.spoken.length]!;
    this.#tell({ type: 'word', id: one.id, text: word });
    one.spoken.push(word);
    return ` ${word}`;
  }

  override spoken(): void {
    const one = this.#queue[0];
    if (!one || one.spoken.length < one.words.length) return;
    this.#queue.shift();
    this.#tell({ type: 'end', id: one.id, text: one.text, completed: true });
  }

  #tell(event: EngineSayEvent): void {
    this.emit('say', event);
  }
}

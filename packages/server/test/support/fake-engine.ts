import { EventEmitter } from 'node:events';
import type { Engine, EngineFrame, EngineInfo, EngineSession, EngineSessionOptions } from '@moshi/server';

/** The answer to input frame `step`, as far as a test cares. */
export type Script = (step: number, input: Float32Array) => { pcm?: Float32Array | null; text?: string | null };

export interface FakeEngineOptions {
  slots?: number;
  /** Default: null for the first frame, then the input of one frame ago; no text. */
  script?: Script;
  /** False: frames are answered only by {@link FakeSession.step}. */
  auto?: boolean;
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
    };
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
    const session = new FakeSession(this);
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
    const { pcm = null, text = null } = this.#script(step, input);
    this.#last = input;
    const frame: EngineFrame = {
      step,
      pcm,
      text,
      token: text === null ? -1 : 1,
      timing: { encodeMs: 0, lmMs: 0, decodeMs: 0 },
    };
    this.emit('frame', frame);
  }

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

import { EventEmitter } from 'eventemitter3';
import { asEngineError, EngineError, translated } from './errors';
import type { NativeEngine, NativeSession, NativeVoice } from './native';
import type { EngineFrame, EngineSayEvent, EngineSessionOptions, SayOptions } from './types';

/** Events of an {@link EngineSession}. */
export interface EngineSessionEvents {
  /** One for every frame of input, in order. */
  frame: (frame: EngineFrame) => void;
  /** What became of the texts given to `say`. */
  say: (event: EngineSayEvent) => void;
  /** The session cannot go on; it is closed. */
  error: (error: Error) => void;
}

/** One conversation: push the user's samples, receive the model's. It holds a slot until it is closed. */
export class EngineSession extends EventEmitter<EngineSessionEvents> {
  readonly #native: NativeSession;
  readonly #resets: { resolve: () => void; reject: (error: Error) => void }[] = [];
  readonly #ready: Promise<void>;
  readonly #closed: Promise<void>;
  #settleReady: (error?: unknown) => void = () => {};
  #settleClosed: () => void = () => {};
  #failed: (error: unknown) => void = () => {};
  #open = true;

  private constructor(engine: NativeEngine, options: EngineSessionOptions, voice: NativeVoice | undefined) {
    super();
    this.#ready = new Promise((resolve, reject) => {
      this.#settleReady = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#native = translated(() => engine.open({ ...options, voice }, (kind, value) => this.#receive(kind, value)));
  }

  /** For {@link Engine.open}, which waits until it is `ready`; `onError` hears of the error that ends it before anyone else. @internal */
  static begin(
    engine: NativeEngine,
    options: EngineSessionOptions,
    voice: NativeVoice | undefined,
    onError: (error: unknown) => void,
  ): EngineSession {
    const session = new EngineSession(engine, options, voice);
    session.#failed = onError;
    return session;
  }

  /** Resolves when voice and role are read. @internal */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Resolves when its slot is free. @internal */
  get ended(): Promise<void> {
    return this.#closed;
  }

  /** Ends it with an error, as its engine would: what it ran on is lost. @internal */
  fail(error: Error): void {
    if (!this.#open) return;
    this.#settleReady(error);
    this.#deliver(() => this.emit('error', error));
    void this.close();
  }

  /** Whole frames pushed but not yet stepped. */
  get queued(): number {
    return this.#native.queued;
  }

  /**
   * Gives the engine samples at 24 kHz, mono, -1 to 1, any number of them; whole frames are cut inside and the samples are
   * copied. Never blocks. Throws `ENGINE_CLOSED` after close, `ENGINE_BAD_OPTION` when ten minutes are waiting already.
   */
  push(pcm: Float32Array): void {
    if (!(pcm instanceof Float32Array)) throw new EngineError('ENGINE_BAD_OPTION', 'push() takes a Float32Array');
    translated(() => this.#native.push(pcm));
  }

  /**
   * Lets the model speak `text` in its own voice, exactly as it stands (blanks apart); texts queue up. Returns its number, from 1;
   * event `say` tells how it goes. The conversation's frames carry it: it takes input, silence will do, to get on. Throws
   * `ENGINE_BAD_OPTION` on an empty text, more than 10 000 characters, characters the model has no pieces for, or 100 waiting.
   */
  say(text: string, options: SayOptions = {}): number {
    const { floor = 'interrupt' } = options;
    if (typeof text !== 'string') throw new EngineError('ENGINE_BAD_OPTION', 'say() takes a string');
    if (floor !== 'interrupt' && floor !== 'wait') {
      throw new EngineError('ENGINE_BAD_OPTION', `floor is ${String(floor)}; it must be 'interrupt' or 'wait'`);
    }
    return translated(() => this.#native.say(text, floor === 'wait'));
  }

  /** Takes back one text, or all of them; a word on its way is finished. */
  cancelSay(id = 0): void {
    translated(() => this.#native.cancelSay(id));
  }

  /** Takes back all texts, and the model is silent for a second. */
  interrupt(): void {
    translated(() => this.#native.interrupt());
  }

  /** The user's turn is over: the model begins to speak now, if it does not already. */
  endTurn(): void {
    translated(() => this.#native.endTurn());
  }

  /**
   * Starts the conversation anew, prompt included, and drops queued input. Frames of the old one may arrive until the promise
   * resolves.
   */
  async reset(): Promise<void> {
    translated(() => this.#native.reset());
    await new Promise<void>((resolve, reject) => this.#resets.push({ resolve, reject }));
  }

  /** Frees the slot at the next step boundary. Idempotent; no event is delivered from the call on. */
  close(): Promise<void> {
    if (this.#open) {
      this.#open = false;
      this.#native.close();
    }
    return this.#closed;
  }

  #receive(kind: string, value: unknown): void {
    switch (kind) {
      case 'ready':
        this.#settleReady();
        return;
      case 'frame':
        if (this.#open) this.#deliver(() => this.emit('frame', value as EngineFrame));
        return;
      case 'say':
        if (this.#open) this.#deliver(() => this.emit('say', value as EngineSayEvent));
        return;
      case 'error': {
        const error = asEngineError(value);
        this.#failed(error);
        this.#settleReady(error);
        if (this.#open) this.#deliver(() => this.emit('error', error as Error));
        return;
      }
      case 'reset':
        this.#resets.shift()?.resolve();
        return;
      default:
        this.#open = false;
        this.#settleReady(new EngineError('ENGINE_CLOSED', 'the engine was closed before the session was ready'));
        for (const { reject } of this.#resets.splice(0)) {
          reject(new EngineError('ENGINE_CLOSED', 'the session was closed before it was reset'));
        }
        // The engine may have ended it: its memory goes now, not when this object is collected.
        this.#native.close();
        this.#settleClosed();
    }
  }

  /** A listener's own failure is the program's, as with any emitter; thrown into native code it would be lost. */
  #deliver(emit: () => void): void {
    try {
      emit();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

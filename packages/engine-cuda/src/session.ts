import { EventEmitter } from 'eventemitter3';
import { asEngineError, EngineError, translated } from './errors';
import type { NativeEngine, NativeSession } from './native';
import type { EngineFrame, EngineSessionOptions } from './types';

/** Events of an {@link EngineSession}. */
export interface EngineSessionEvents {
  /** One for every frame of input, in order. */
  frame: (frame: EngineFrame) => void;
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
  #open = true;

  private constructor(engine: NativeEngine, options: EngineSessionOptions) {
    super();
    this.#ready = new Promise((resolve, reject) => {
      this.#settleReady = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#native = translated(() => engine.open(options, (kind, value) => this.#receive(kind, value)));
  }

  /** For {@link Engine.open}: resolves when the role prompt is read. @internal */
  static async start(engine: NativeEngine, options: EngineSessionOptions): Promise<EngineSession> {
    const session = new EngineSession(engine, options);
    await session.#ready;
    return session;
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
      case 'error':
        this.#settleReady(asEngineError(value));
        if (this.#open) this.#deliver(() => this.emit('error', asEngineError(value) as Error));
        return;
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

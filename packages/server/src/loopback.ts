import { FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import type { Engine, EngineFrame, EngineInfo, EngineSayEvent, EngineSession } from './engine';
import { ServerError } from './errors';
import { FrameCutter } from './session/frame-cutter';

/** Options of {@link loopbackEngine}. */
export interface LoopbackOptions {
  /** Conversations at the same time, at least 1; default 4. */
  slots?: number;
}

/**
 * An engine without a model: frame n out is frame n in, no text. It answers the question "do the microphone, the
 * speaker and the network work?" on any machine, because you hear yourself through the whole path: Opus, Ogg,
 * WebSocket, queue and back. It steps as fast as audio comes in. Throws `BAD_OPTION` when `slots` is not a positive integer.
 */
export function loopbackEngine({ slots = 4 }: LoopbackOptions = {}): Engine {
  if (!Number.isInteger(slots) || slots < 1) {
    throw new ServerError('BAD_OPTION', `loopbackEngine: slots is ${slots}, give an integer of at least 1`);
  }
  return new LoopbackEngine(slots);
}

class LoopbackEngine implements Engine {
  readonly info: EngineInfo;
  readonly #sessions = new Set<LoopbackSession>();

  constructor(slots: number) {
    this.info = {
      model: 'loopback',
      dialect: 'loopback',
      sampleRate: SAMPLE_RATE,
      frameSamples: FRAME_SAMPLES,
      slots,
      trained: true,
      details: { note: 'no model: you hear your own voice' },
    };
  }

  async open(): Promise<EngineSession> {
    if (this.#sessions.size >= this.info.slots) {
      throw new ServerError('ENGINE_FULL', `all ${this.info.slots} loopback slots are taken`);
    }
    const session = new LoopbackSession(() => this.#sessions.delete(session));
    this.#sessions.add(session);
    return session;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close()));
  }
}

class LoopbackSession
  extends EventEmitter<{ frame: [EngineFrame]; error: [Error]; say: [EngineSayEvent] }>
  implements EngineSession
{
  readonly #onClose: () => void;
  readonly #input = new FrameCutter();
  #step = 0;
  #turn: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(onClose: () => void) {
    super();
    this.#onClose = onClose;
  }

  get queued(): number {
    return this.#input.frames;
  }

  push(pcm: Float32Array): void {
    if (this.#closed) return;
    this.#input.push(pcm.slice());
    this.#schedule();
  }

  async reset(): Promise<void> {
    this.#input.clear();
    this.#step = 0;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearImmediate(this.#turn);
    this.#input.clear();
    this.#onClose();
  }

  /** One frame per turn of the event loop, as a real engine answers: never inside `push`, never starving others. */
  #schedule(): void {
    if (this.#turn || this.#closed || this.#input.frames === 0) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      const pcm = this.#input.next();
      if (!pcm) return;
      this.#schedule();
      const timing = { encodeMs: 0, lmMs: 0, decodeMs: 0 };
      this.emit('frame', { step: this.#step++, pcm, text: null, token: -1, timing });
    });
  }
}

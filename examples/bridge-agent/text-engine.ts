import { EventEmitter } from 'node:events';
import { FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import type { Engine, EngineFrame, EngineSayEvent, EngineSession } from '@moshi/server';

interface Events {
  frame: [EngineFrame];
  say: [EngineSayEvent];
  error: [Error];
}

/** An engine without sound: what it is given to say comes out as text at once. No model, no GPU, no other server. */
export function textEngine(slots = 16): Engine {
  const sessions = new Set<TextSession>();
  return {
    info: {
      model: 'text only',
      dialect: 'loopback',
      sampleRate: SAMPLE_RATE,
      frameSamples: FRAME_SAMPLES,
      slots,
      trained: true,
      details: { note: 'text only: answers are not spoken' },
      features: ['say', 'interrupt'],
    },
    async open() {
      if (sessions.size >= slots)
        throw Object.assign(new Error(`all ${slots} places are taken`), { code: 'ENGINE_FULL' });
      const session = new TextSession(() => sessions.delete(session));
      sessions.add(session);
      return session;
    },
    async close() {
      await Promise.all([...sessions].map((session) => session.close()));
    },
  };
}

class TextSession extends EventEmitter<Events> implements EngineSession {
  readonly #onClose: () => void;
  readonly queued = 0;
  #samples = 0;
  #step = 0;
  #id = 0;
  #closed = false;

  constructor(onClose: () => void) {
    super();
    this.#onClose = onClose;
  }

  push(pcm: Float32Array): void {
    for (this.#samples += pcm.length; this.#samples >= FRAME_SAMPLES; this.#samples -= FRAME_SAMPLES) this.#frame(null);
  }

  say(text: string): number {
    const words = text.split(/\s+/).filter(Boolean);
    if (words.length === 0) throw Object.assign(new Error('there is nothing to say'), { code: 'ENGINE_BAD_OPTION' });
    const id = ++this.#id;
    // In its own turn of the event loop: the caller has to know the id first.
    setImmediate(() => {
      this.#tell({ type: 'start', id, text });
      for (const word of words) {
        this.#tell({ type: 'word', id, text: word });
        this.#frame(` ${word}`);
      }
      this.#tell({ type: 'end', id, text: words.join(' '), completed: true });
    });
    return id;
  }

  cancelSay(): void {} // Nothing is ever left to cancel.

  interrupt(): void {}

  async reset(): Promise<void> {
    this.#samples = 0;
    this.#step = 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#onClose();
  }

  #frame(text: string | null): void {
    const timing = { encodeMs: 0, lmMs: 0, decodeMs: 0 };
    if (!this.#closed) this.emit('frame', { step: this.#step++, pcm: null, text, token: -1, timing });
  }

  #tell(event: EngineSayEvent): void {
    if (!this.#closed) this.emit('say', event);
  }
}

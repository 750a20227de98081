import type {
  Engine,
  EngineFrame,
  EngineSayEvent,
  EngineSession,
  EngineSessionOptions,
  SayOptions,
} from '@moshi/server';
import { EventEmitter } from 'eventemitter3';

type Events = { frame: [EngineFrame]; say: [EngineSayEvent]; error: [Error] };

/** An engine of one slot that says back the sound it hears, and texts with one word a frame; `log` is what it was told. */
export function speakingEngine(voices: readonly string[] = []) {
  const log: unknown[] = [];
  const opened: SpeakingSession[] = [];
  const engine: Engine = {
    info: {
      ...{ model: 'test/speaking', dialect: 'personaplex', sampleRate: 24000, frameSamples: 1920 },
      ...{ slots: 1, trained: true, features: ['say', 'interrupt', 'endTurn'], details: {} },
    },
    async open(options: EngineSessionOptions = {}) {
      if (opened.some((session) => !session.closed)) throw Object.assign(new Error('full'), { code: 'ENGINE_FULL' });
      if (options.voice && !voices.includes(options.voice.replace(/\.pt$/, ''))) {
        const message = `no voice ${options.voice}: there are ${voices.join(', ')}`;
        throw Object.assign(new Error(message), { code: 'ENGINE_BAD_OPTION' });
      }
      const { voice, prompt, sayOnly } = options;
      log.push({ voice, prompt, sayOnly });
      const session = new SpeakingSession(log);
      opened.push(session);
      return session;
    },
    voices: async () => voices.map((name) => ({ name })),
    close: async () => {},
  };
  return { engine, opened, log };
}

interface Text {
  readonly id: number;
  readonly text: string;
  readonly words: string[];
  readonly spoken: string[];
}

class SpeakingSession extends EventEmitter<Events> implements EngineSession {
  readonly #log: unknown[];
  #texts: Text[] = [];
  #lastId = 0;
  #step = 0;
  #frames: Float32Array[] = [];
  closed = false;

  constructor(log: unknown[]) {
    super();
    this.#log = log;
  }

  get queued(): number {
    return this.#frames.length;
  }

  push(pcm: Float32Array): void {
    for (let at = 0; at < pcm.length; at += 1920) this.#frames.push(pcm.slice(at, at + 1920));
    setImmediate(() => this.#run());
  }

  say(text: string, { floor }: SayOptions = {}): number {
    if (text.includes('#')) throw Object.assign(new Error('no piece for #'), { code: 'ENGINE_BAD_OPTION' });
    this.#log.push({ say: text, floor });
    this.#texts.push({ id: ++this.#lastId, text, words: text.split(' '), spoken: [] });
    return this.#lastId;
  }

  cancelSay(id?: number): void {
    this.#log.push('cancel');
    const kept = this.#texts.filter((text) => id !== undefined && text.id !== id);
    for (const text of this.#texts) if (!kept.includes(text)) this.#end(text, false);
    this.#texts = kept;
  }

  interrupt(): void {
    this.#log.push('interrupt');
    this.cancelSay();
  }

  endTurn(): void {
    this.#log.push('endTurn');
  }

  async reset(): Promise<void> {
    this.#log.push('reset');
    this.cancelSay();
    this.#frames = [];
    this.#step = 0;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  #run(): void {
    const pcm = this.#frames.shift();
    if (!pcm || this.closed) return;
    const [text] = this.#texts;
    const word = text?.words.shift();
    if (text && word !== undefined) {
      if (text.spoken.length === 0) this.emit('say', { type: 'start', id: text.id, text: text.text });
      text.spoken.push(word);
      this.emit('say', { type: 'word', id: text.id, text: word });
    }
    const timing = { encodeMs: 0, lmMs: 0, decodeMs: 0 };
    this.emit('frame', { step: this.#step++, pcm, text: word === undefined ? null : ` ${word}`, token: -1, timing });
    if (text?.words.length !== 0) return;
    this.#texts.shift();
    this.#end(text, true);
  }

  #end({ id, spoken }: Text, completed: boolean): void {
    this.emit('say', { type: 'end', id, text: spoken.join(' '), completed });
  }
}

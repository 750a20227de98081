import { EventEmitter } from 'node:events';
import { FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import { concat, rms } from '@moshi/protocol/audio';
import type { Engine, EngineFrame, EngineSayEvent, EngineSession, EngineSessionOptions } from '@moshi/server';

/** An engine that behaves like a trained model, word for word predictable; each word is a frame of a tone. */
export interface SpeakingEngine extends Engine {
  /** The options of every conversation so far. */
  readonly opened: EngineSessionOptions[];
  /** What was asked for by `interrupt` and `endTurn`, in order. */
  readonly commands: string[];
}

interface Events {
  frame: [EngineFrame];
  say: [EngineSayEvent];
  error: [Error];
}

/** Makes one. It answers `ANSWER` half a second after the user has stopped to speak, unless it may only `say`. */
export function speakingEngine(slots = 2): SpeakingEngine {
  const opened: EngineSessionOptions[] = [];
  const commands: string[] = [];
  let free = slots;
  return {
    opened,
    commands,
    info: {
      model: 'speaking',
      dialect: 'moshi',
      sampleRate: SAMPLE_RATE,
      frameSamples: FRAME_SAMPLES,
      slots,
      trained: true,
      details: {},
      features: ['say', 'interrupt', 'endTurn'],
    },
    async open(asked = {}) {
      // Names come with the extension of the published files, or without.
      const options = { ...asked, voice: asked.voice?.replace(/\.pt$/, '') };
      if (free === 0) throw Object.assign(new Error('no slot is free'), { code: 'ENGINE_FULL' });
      if (options.voice && options.voice !== 'NATF0') {
        throw Object.assign(new Error(`no voice ${options.voice}: there is NATF0`), { code: 'ENGINE_BAD_OPTION' });
      }
      free--;
      opened.push(options);
      return new SpeakingSession(options, commands, () => free++);
    },
    voices: async () => [{ name: 'NATF0' }],
    close: async () => {},
  };
}

/** What it says of its own accord. */
export const ANSWER = 'I heard you';

interface Utterance {
  /** 0 when the model speaks of its own accord. */
  readonly id: number;
  readonly text: string;
  readonly words: string[];
  readonly spoken: string[];
}

class SpeakingSession extends EventEmitter<Events> implements EngineSession {
  readonly #options: EngineSessionOptions;
  readonly #commands: string[];
  readonly #onClose: () => void;
  #pcm: Float32Array[] = [];
  #filled = 0;
  #turn: NodeJS.Immediate | undefined;
  #step = 0;
  #id = 0;
  #utterances: Utterance[] = [];
  /** Frames of tone left of the word being spoken. */
  #tone = 0;
  #heard = false;
  #quiet = 0;
  #closed = false;

  constructor(options: EngineSessionOptions, commands: string[], onClose: () => void) {
    super();
    this.#options = options;
    this.#commands = commands;
    this.#onClose = onClose;
  }

  get queued(): number {
    return Math.floor(this.#filled / FRAME_SAMPLES);
  }

  push(pcm: Float32Array): void {
    this.#pcm.push(pcm.slice());
    this.#filled += pcm.length;
    this.#turn ??= setImmediate(() => this.#run());
  }

  say(text: string): number {
    const words = text.split(/\s+/).filter(Boolean);
    if (words.length === 0) throw Object.assign(new Error('there is nothing to say'), { code: 'ENGINE_BAD_OPTION' });
    this.#utterances.push({ id: ++this.#id, text, words, spoken: [] });
    return this.#id;
  }

  cancelSay(id?: number): void {
    const dropped = this.#utterances.filter((each) => each.id !== 0 && (id === undefined || each.id === id));
    this.#utterances = this.#utterances.filter((each) => !dropped.includes(each));
    setImmediate(() => {
      for (const each of dropped) this.#end(each, false);
    });
  }

  interrupt(): void {
    this.#commands.push('interrupt');
    this.cancelSay();
    this.#utterances = [];
    this.#tone = 0;
  }

  endTurn(): void {
    this.#commands.push('endTurn');
    this.#answer();
  }

  async reset(): Promise<void> {
    this.interrupt();
    this.#pcm = [];
    this.#filled = 0;
    this.#step = 0;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearImmediate(this.#turn);
    this.#onClose();
  }

  #run(): void {
    this.#turn = undefined;
    if (this.#closed || this.#filled < FRAME_SAMPLES) return;
    const all = concat(this.#pcm);
    this.#pcm = [all.slice(FRAME_SAMPLES)];
    this.#filled -= FRAME_SAMPLES;
    this.#listen(all.subarray(0, FRAME_SAMPLES));
    this.#speak();
    this.#turn ??= setImmediate(() => this.#run());
  }

  #listen(frame: Float32Array): void {
    if (rms(frame) > 0.02) {
      this.#heard = true;
      this.#quiet = 0;
    } else if (this.#heard && ++this.#quiet === 6) {
      this.#heard = false;
      if (!this.#options.sayOnly) this.#answer();
    }
  }

  #answer(): void {
    this.#utterances.push({ id: 0, text: ANSWER, words: ANSWER.split(' '), spoken: [] });
  }

  #speak(): void {
    const utterance = this.#utterances[0];
    const word = this.#tone > 0 ? undefined : utterance?.words.shift();
    if (utterance && word !== undefined) {
      if (utterance.id > 0 && utterance.spoken.length === 0) {
        this.#tell({ type: 'start', id: utterance.id, text: utterance.text });
      }
      if (utterance.id > 0) this.#tell({ type: 'word', id: utterance.id, text: word });
      utterance.spoken.push(word);
      this.#tone = 1;
    }
    const pcm = new Float32Array(FRAME_SAMPLES);
    if (this.#tone > 0) {
      this.#tone--;
      for (let i = 0; i < pcm.length; i++)
        pcm[i] = 0.3 * Math.sin((2 * Math.PI * 440 * (this.#step * FRAME_SAMPLES + i)) / SAMPLE_RATE);
    }
    const timing = { encodeMs: 0, lmMs: 0, decodeMs: 0 };
    this.emit('frame', { step: this.#step++, pcm, text: word === undefined ? null : ` ${word}`, token: -1, timing });
    if (utterance && utterance.words.length === 0) {
      this.#utterances.shift();
      this.#end(utterance, true);
    }
  }

  #end({ id, spoken }: Utterance, completed: boolean): void {
    if (id > 0) this.#tell({ type: 'end', id, text: spoken.join(' '), completed });
  }

  #tell(event: EngineSayEvent): void {
    if (!this.#closed) this.emit('say', event);
  }
}

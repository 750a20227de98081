import type { Engine, EngineFrame, EngineSayEvent, EngineSession, EngineSessionOptions } from '@moshi/server';

/** What a {@link scriptedEngine} does. */
export interface Script {
  /** Steps without audio at the start. */
  readonly delay?: number;
  /** What is said at which step. */
  readonly text?: Readonly<Record<number, string>>;
  /** It can be made to speak: a word every so many steps. */
  readonly stepsPerWord?: number;
  /** Called before a step; may throw, which is the session's error. */
  readonly onStep?: (step: number) => void;
}

/** An engine of one slot that echoes its input frame by frame, and does what the script says. */
export function scriptedEngine({ delay = 0, text = {}, stepsPerWord, onStep }: Script = {}) {
  const opened: EngineSessionOptions[] = [];
  const engine: Engine & { closed: number; opened: EngineSessionOptions[] } = {
    info: {
      ...{ model: 'test/scripted', dialect: 'moshi', sampleRate: 24000, frameSamples: 1920 },
      ...{ slots: 1, trained: false, details: {} },
      ...(stepsPerWord !== undefined && { features: ['say' as const] }),
    },
    closed: 0,
    opened,
    async close() {
      this.closed++;
    },
    async open(options = {}) {
      opened.push(options);
      const frameListeners = new Set<(frame: EngineFrame) => void>();
      const errorListeners = new Set<(error: Error) => void>();
      let rest = new Float32Array(0);
      let pushed = 0;
      let stepped = 0;
      const sayListeners = new Set<(event: EngineSayEvent) => void>();
      const texts: { id: number; text: string; words: string[]; begun: boolean }[] = [];
      let lastId = 0;
      const tell = (event: EngineSayEvent) => {
        for (const listener of sayListeners) listener(event);
      };
      /** The next word to be spoken, if its time has come; `done` tells of the end after the frame. */
      const nextWord = (frame: number): { word: string; done?: () => void } | undefined => {
        const current = texts[0];
        if (!current || stepsPerWord === undefined || frame % stepsPerWord !== 0) return undefined;
        const { id } = current;
        if (!current.begun) tell({ type: 'start', id, text: current.text });
        current.begun = true;
        const word = current.words.shift()!;
        tell({ type: 'word', id, text: word });
        if (current.words.length > 0) return { word };
        texts.shift();
        return { word, done: () => tell({ type: 'end', id, text: current.text, completed: true }) };
      };
      const step = (pcm: Float32Array) => {
        const frame = stepped++;
        try {
          onStep?.(frame);
        } catch (error) {
          for (const listener of errorListeners) listener(error as Error);
          return;
        }
        const spoken = nextWord(frame);
        const said = spoken ? ` ${spoken.word}` : (text[frame] ?? null);
        const answer: EngineFrame = {
          ...{ step: frame, pcm: frame < delay ? null : pcm, text: said },
          ...{ token: -1, timing: { encodeMs: 0, lmMs: 0, decodeMs: 0 } },
        };
        for (const listener of frameListeners) listener(answer);
        spoken?.done?.();
      };
      const listeners = (event: 'frame' | 'error' | 'say') =>
        ({ frame: frameListeners, error: errorListeners, say: sayListeners })[event] as Set<(value: never) => void>;
      const session: EngineSession = {
        get queued() {
          return pushed - stepped;
        },
        push(pcm: Float32Array) {
          const all = Float32Array.from([...rest, ...pcm]);
          let at = 0;
          for (; at + 1920 <= all.length; at += 1920) {
            const frame = all.slice(at, at + 1920);
            pushed++;
            setImmediate(() => step(frame));
          }
          rest = all.slice(at);
        },
        ...(stepsPerWord !== undefined && {
          say(text: string) {
            texts.push({ id: ++lastId, text, words: text.trim().split(/\s+/), begun: false });
            return lastId;
          },
          cancelSay() {
            for (const { id } of texts.splice(0)) tell({ type: 'end', id, text: '', completed: false });
          },
        }),
        async reset() {},
        async close() {
          frameListeners.clear();
          errorListeners.clear();
        },
        on(event: 'frame' | 'error' | 'say', listener: (value: never) => void) {
          listeners(event).add(listener);
          return session;
        },
        off(event: 'frame' | 'error' | 'say', listener: (value: never) => void) {
          listeners(event).delete(listener);
          return session;
        },
      } as EngineSession;
      return session;
    },
  };
  return engine;
}

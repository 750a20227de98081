import type { Engine, EngineFrame, EngineSession, EngineSessionOptions } from '@moshi/server';

/** What a {@link scriptedEngine} does. */
export interface Script {
  /** Steps without audio at the start. */
  readonly delay?: number;
  /** What is said at which step. */
  readonly text?: Readonly<Record<number, string>>;
  /** Called before a step; may throw, which is the session's error. */
  readonly onStep?: (step: number) => void;
}

/** An engine of one slot that echoes its input frame by frame, and does what the script says. */
export function scriptedEngine({ delay = 0, text = {}, onStep }: Script = {}) {
  const opened: EngineSessionOptions[] = [];
  const engine: Engine & { closed: number; opened: EngineSessionOptions[] } = {
    info: {
      ...{ model: 'test/scripted', dialect: 'moshi', sampleRate: 24000, frameSamples: 1920 },
      ...{ slots: 1, trained: false, details: {} },
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
      const step = (pcm: Float32Array) => {
        const frame = stepped++;
        try {
          onStep?.(frame);
        } catch (error) {
          for (const listener of errorListeners) listener(error as Error);
          return;
        }
        const answer: EngineFrame = {
          ...{ step: frame, pcm: frame < delay ? null : pcm, text: text[frame] ?? null },
          ...{ token: -1, timing: { encodeMs: 0, lmMs: 0, decodeMs: 0 } },
        };
        for (const listener of frameListeners) listener(answer);
      };
      const listeners = (event: 'frame' | 'error') =>
        (event === 'frame' ? frameListeners : errorListeners) as Set<(value: never) => void>;
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
        async reset() {},
        async close() {
          frameListeners.clear();
          errorListeners.clear();
        },
        on(event: 'frame' | 'error', listener: (value: never) => void) {
          listeners(event).add(listener);
          return session;
        },
        off(event: 'frame' | 'error', listener: (value: never) => void) {
          listeners(event).delete(listener);
          return session;
        },
      } as EngineSession;
      return session;
    },
  };
  return engine;
}

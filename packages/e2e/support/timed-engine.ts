import { type Engine, loopbackEngine } from '@moshi/server';

/** When each frame went into the engine and came out of it, in milliseconds since 1970 as browsers tell it too. */
export interface EngineMarks {
  readonly pushes: number[];
  readonly answers: number[];
}

/** The loopback engine, and when it worked. */
export function timedEngine(): { engine: Engine; marks: EngineMarks } {
  const marks: EngineMarks = { pushes: [], answers: [] };
  const now = () => performance.timeOrigin + performance.now();
  const inner = loopbackEngine();
  const engine: Engine = {
    info: inner.info,
    close: () => inner.close(),
    open: async (options) => {
      const session = await inner.open(options);
      const push = session.push.bind(session);
      session.push = (pcm) => {
        marks.pushes.push(now());
        push(pcm);
      };
      return session.on('frame', () => marks.answers.push(now()));
    },
  };
  return { engine, marks };
}

import { type Engine, type EngineSession, loopbackEngine } from '@moshi/server';

/** Says back what it hears, a frame every `frameMs`: more than 80 is slower than it comes. */
export function slowEngine(frameMs = 120): Engine {
  const engine = loopbackEngine();
  return {
    info: engine.info,
    open: async (options) => slow(await engine.open(options), frameMs),
    close: () => engine.close(),
  };
}

function slow(session: EngineSession, frameMs: number): EngineSession {
  const waiting: Float32Array[] = [];
  const [push, close] = [session.push.bind(session), session.close.bind(session)];
  const timer = setInterval(() => {
    const next = waiting.shift();
    if (next) push(next);
  }, frameMs);
  return Object.defineProperties(session, {
    push: { value: (pcm: Float32Array) => void waiting.push(pcm.slice()) },
    queued: { get: () => waiting.length },
    close: {
      value: () => {
        clearInterval(timer);
        return close();
      },
    },
  });
}

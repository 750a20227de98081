import type { NativeAddon, NativeEngine, NativeVoice } from '../../src/native';

/** What a {@link standInAddon} was asked to load. */
export type Load = Parameters<NativeAddon['loadEngine']>[1];

/** What a {@link standInAddon} does. */
export interface StandIn {
  /** Milliseconds of a frame of so many conversations on a device; left out: nothing is timed. */
  frameMs?: (sessions: number, device: string) => number;
  /** Called before a load; may throw. */
  onLoad?: (load: Load, device: string) => void;
  /** Called before a session is opened; may throw. */
  onOpen?: (options: { prompt?: string }) => void;
  /** Called before a voice is read; may throw. With it the model knows voices. */
  onVoice?: (device: string) => void;
}

type Listener = (kind: string, value?: unknown) => void;

/** An engine on one device that answers nothing but keeps its slots, and can be lost. */
export interface StandInEngine {
  device: string;
  load: Load;
  closed: boolean;
  /** Of sessions that are open. */
  listeners: Listener[];
  /** The device fails in the step of the first session. */
  lose(): void;
}

/** An error as the addon throws it. */
export function nativeError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** The addon without models: it keeps what it was asked for. */
export function standInAddon({ frameMs, onLoad, onOpen, onVoice }: StandIn = {}) {
  const loads: Load[] = [];
  const cached: string[] = [];
  const engines: StandInEngine[] = [];
  const later = (task: () => void) => setImmediate(task);

  const loadEngine: NativeAddon['loadEngine'] = async (_files, load) => {
    const device = load.device === 'cuda' ? `cuda:${load.gpu}` : 'cpu';
    loads.push(load);
    onLoad?.(load, device);
    const engine: StandInEngine & { lost?: Error } = {
      ...{ device, load, closed: false, listeners: [] },
      lose() {
        engine.lost = nativeError('ENGINE_GPU_LOST', `${device} failed: restart the program`);
        const [first] = engine.listeners.splice(0, 1);
        first?.('error', engine.lost);
        later(() => first?.('closed'));
      },
    };
    engines.push(engine);
    const counts = Array.from({ length: load.slots }, (_, i) => i + 1);
    const native: Pick<NativeEngine, 'info' | 'open' | 'loadVoice' | 'close'> = {
      info: {
        ...{
          slots: load.slots,
          dialect: onVoice ? 'personaplex' : 'moshi',
          weights: load.weights,
          kv: load.kv,
          backend: 'a stand-in',
        },
        context: load.context || 3000,
        ...(frameMs && { rehearsal: counts.map((sessions) => ({ sessions, ms: frameMs(sessions, device) })) }),
      },
      open(options, listener) {
        if (engine.lost) throw engine.lost;
        onOpen?.(options);
        if (engine.listeners.length >= load.slots) throw nativeError('ENGINE_FULL', 'all slots are taken');
        engine.listeners.push(listener);
        later(() => listener('ready'));
        const close = () => {
          engine.listeners = engine.listeners.filter((other) => other !== listener);
          later(() => listener('closed'));
        };
        return { queued: 0, push() {}, close } as unknown as ReturnType<NativeEngine['open']>;
      },
      async loadVoice() {
        onVoice?.(device);
        return {} as NativeVoice;
      },
      async close() {
        engine.closed = true;
        for (const listener of engine.listeners.splice(0)) listener('closed');
      },
    };
    return native as NativeEngine;
  };
  const native = {
    loadEngine,
    cacheWeights: (_files: object, { weights }: { weights: string }) => {
      cached.push(weights);
      return { result: Promise.resolve(''), progress: () => ({ done: 0, total: 0 }), stop() {} };
    },
  } as unknown as NativeAddon;
  return { native, loads, cached, engines };
}

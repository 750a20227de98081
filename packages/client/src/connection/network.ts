/** Tells whether this machine has a network. */
export interface NetworkMonitor {
  /** False when there is surely none. */
  readonly online: boolean;
  /** Calls on every change, and `visible` when somebody looks at the page again; returns how to stop that. */
  watch(listener: NetworkListener): () => void;
}

/** What a {@link NetworkMonitor} calls. */
export interface NetworkListener {
  online(): void;
  offline(): void;
  visible(): void;
}

/** What is used of a browser's `window` and `document`. */
interface EventSource {
  addEventListener(name: string, listener: () => void): void;
  removeEventListener(name: string, listener: () => void): void;
}

/** The monitor of browsers and workers; undefined where the platform tells nothing. */
export function browserNetwork(): NetworkMonitor | undefined {
  const scope = globalThis as unknown as Partial<EventSource> & {
    document?: EventSource & { visibilityState?: string };
  };
  const { document } = scope;
  if (typeof scope.addEventListener !== 'function' || typeof globalThis.navigator?.onLine !== 'boolean')
    return undefined;
  return {
    get online() {
      return globalThis.navigator.onLine;
    },
    watch({ online, offline, visible }) {
      const onVisibility = () => {
        if (document?.visibilityState === 'visible') visible();
      };
      const listeners: [source: EventSource | undefined, name: string, listener: () => void][] = [
        [scope as EventSource, 'online', online],
        [scope as EventSource, 'offline', offline],
        [document, 'visibilitychange', onVisibility],
      ];
      for (const [source, name, listener] of listeners) source?.addEventListener(name, listener);
      return () => {
        for (const [source, name, listener] of listeners) source?.removeEventListener(name, listener);
      };
    },
  };
}

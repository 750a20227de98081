import { insecurePage } from '../audio/media-errors';
import type { AudioOptions } from '../audio/types';
import { MoshiError } from '../errors';
import { ContextClock } from './context-clock';
import { Unlock } from './unlock';
import { addWorklet, type WorkletName } from './worklets';

/** What microphone, loudspeaker and recorder share while one of them is open: a context at the device's own rate, so that all have one clock. */
export interface OpenGraph {
  readonly context: AudioContext;
  readonly clock: ContextClock;
  readonly unlock: Unlock;
  /** What is played, for the recorder. */
  readonly model: AudioNode;
  /** What is sent, for the recorder. */
  readonly user: AudioNode;
}

/** Opens the context for the first that needs it, and closes it after the last. */
export class Graph {
  readonly #options: AudioOptions;
  #open: OpenGraph | undefined;
  #users = 0;

  constructor(options: AudioOptions) {
    this.#options = options;
  }

  /** At once, so that a click counts. Throws {@link MoshiError}. */
  hold(): OpenGraph {
    this.#open ??= this.#make();
    this.#users++;
    return this.#open;
  }

  /** To be called once for each {@link hold}. */
  async release(): Promise<void> {
    if (--this.#users > 0) return;
    const open = this.#open;
    this.#open = undefined;
    open?.unlock.close();
    if (this.#options.context === undefined) await open?.context.close();
  }

  addWorklet(context: AudioContext, name: WorkletName): Promise<void> {
    return addWorklet(context, name, this.#options.worklets);
  }

  #make(): OpenGraph {
    const context = (this.#options.context as AudioContext | undefined) ?? openContext();
    if (!context.audioWorklet) {
      if (this.#options.context === undefined) void context.close().catch(() => {});
      if (globalThis.isSecureContext === false) throw insecurePage(globalThis.location.origin);
      throw new MoshiError('unsupported', 'this browser has no AudioWorklet: use a current one');
    }
    const model = new GainNode(context);
    const user = new GainNode(context);
    // Browsers may leave out what leads to no loudspeaker; this leads there, and is not heard.
    const unheard = new GainNode(context, { gain: 0 });
    model.connect(unheard);
    user.connect(unheard);
    unheard.connect(context.destination);
    return { context, clock: new ContextClock(context), unlock: new Unlock(context), model, user };
  }
}

function openContext(): AudioContext {
  try {
    return new AudioContext({ latencyHint: 'interactive' });
  } catch (cause) {
    throw new MoshiError('unsupported', `the browser opens no AudioContext: ${String(cause)}`, { cause });
  }
}

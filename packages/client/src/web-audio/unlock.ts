import type { OutputSink } from '../audio/platform';
import { pause } from '../timer';

type Running = Parameters<OutputSink['state']>[0];

/** How long a context that was told to start may take before it counts as blocked. */
const START_MS = 300;
const START_AFTER_CLICK_MS = 2000;
/** What browsers count as the user's wish to hear something. */
const GESTURES = ['pointerup', 'keydown', 'touchend', 'click'] as const;

/** Starts a context, at the next click where the browser wants one first, and tells how it runs. */
export class Unlock {
  readonly #context: AudioContext;
  readonly #listeners = new Set<(state: Running) => void>();
  #told: Running | undefined;
  #settled: Promise<void>;
  #closed = false;

  constructor(context: AudioContext) {
    this.#context = context;
    context.addEventListener('statechange', this.#onState);
    this.#settled = this.#begin();
  }

  /** Resolves when it is known whether the context runs or is blocked. */
  async settled(): Promise<Running> {
    await this.#settled;
    return this.#told ?? 'blocked';
  }

  /** Returns how to stop listening. */
  onState(listener: (state: Running) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To be called in a click or a key press. */
  async resume(): Promise<void> {
    // An interrupted context (a phone call) goes on by itself, and resume() may break it for good.
    if ((this.#context.state as string) !== 'suspended') return;
    // Where it is not allowed this stays open for ever.
    await Promise.race([this.#context.resume(), pause(START_MS)]);
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#context.removeEventListener('statechange', this.#onState);
    this.#waitForGesture(false);
  }

  async #begin(): Promise<void> {
    void this.#context.resume().catch(() => {});
    const activation = (globalThis.navigator as { userActivation?: { hasBeenActive: boolean } }).userActivation;
    const running = new Promise<void>((resolve) => {
      if (this.#context.state === 'running') resolve();
      else this.#context.addEventListener('statechange', () => resolve(), { once: true });
    });
    await Promise.race([running, pause(activation?.hasBeenActive === false ? START_MS : START_AFTER_CLICK_MS)]);
    this.#onState();
  }

  readonly #onState = (): void => {
    const state = this.#context.state as AudioContextState | 'interrupted';
    // What it comes to afterwards is nobody's business.
    if (state === 'closed' || this.#closed) return;
    const told: Running = state === 'running' ? 'playing' : state === 'suspended' ? 'blocked' : 'interrupted';
    this.#waitForGesture(told === 'blocked');
    if (told === this.#told) return;
    this.#told = told;
    for (const listener of this.#listeners) listener(told);
  };

  #waitForGesture(wait: boolean): void {
    for (const gesture of GESTURES) {
      if (wait) globalThis.document?.addEventListener(gesture, this.#onGesture, true);
      else globalThis.document?.removeEventListener(gesture, this.#onGesture, true);
    }
  }

  readonly #onGesture = (): void => void this.resume().catch(() => {});
}

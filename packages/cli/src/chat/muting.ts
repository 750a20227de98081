import type { Microphone, Speaker } from '@moshi/client';

/** Louder than this (-42 dBFS) the model is heard by an open microphone. */
const LOUD = 0.3;
/** The loudspeaker is behind what its meter shows, and the room behind the loudspeaker. */
const HOLD_MS = 400;

/** What the user wants to be muted, and with `halfDuplex` also while the model is loud: without it, it would hear itself. */
export class Muting {
  readonly #microphone: Microphone;
  readonly #speaker: Speaker;
  readonly #halfDuplex: boolean;
  #wanted = false;
  #loudAt = Number.NEGATIVE_INFINITY;

  constructor(sides: { readonly microphone: Microphone; readonly speaker: Speaker }, halfDuplex: boolean) {
    this.#microphone = sides.microphone;
    this.#speaker = sides.speaker;
    this.#halfDuplex = halfDuplex;
  }

  /** The user presses the key. */
  toggle(): void {
    this.#wanted = !this.#wanted;
    this.update();
  }

  /** Looks at the model's level; often enough to be before the sound is. */
  update(): void {
    if (this.#halfDuplex && this.#speaker.level > LOUD) this.#loudAt = performance.now();
    this.#microphone.setMuted(this.#wanted || this.#isLoud);
  }

  /** Why the microphone is muted; empty when it is not. */
  get reason(): string {
    if (this.#wanted) return 'muted';
    return this.#isLoud ? 'muted while the model speaks' : '';
  }

  get #isLoud(): boolean {
    return performance.now() - this.#loudAt < HOLD_MS;
  }
}

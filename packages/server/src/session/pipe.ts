import { FRAME_SAMPLES } from '@moshi/protocol';

/** What a hook makes of a value: another one, or null to leave it out; now or later. */
export type Hooked<T> = T | null | Promise<T | null>;

/**
 * Hooks that see and alter what passes between client and engine. Each may be asynchronous: order is kept, and everything
 * behind it waits. A hook that throws ends the session with 1011.
 */
export interface SessionPipe {
  /** One frame of the user on its way to the engine: 1920 samples of 24 kHz mono PCM in [-1, 1]; null = silence. */
  userAudio?(pcm: Float32Array): Hooked<Float32Array>;
  /** A text the client sent to be spoken; null = it is not spoken. */
  userText?(text: string): Hooked<string>;
  /** One frame of the model on its way to the client, as above; null = silence. */
  modelAudio?(pcm: Float32Array): Hooked<Float32Array>;
  /** A piece of the model's text on its way to the client; null = it is not sent. */
  modelText?(text: string): Hooked<string>;
}

/** The hooks of one session, asked one after the other in the order they were added. */
export class Pipes {
  readonly #pipes: SessionPipe[] = [];

  add(pipe: SessionPipe): void {
    this.#pipes.push(pipe);
  }

  /** Calls `use` with the frame that comes out of the hooks; silence where one said null. */
  audio(name: 'userAudio' | 'modelAudio', pcm: Float32Array, use: (pcm: Float32Array) => void): void | Promise<void> {
    const hooks = this.#pipes.flatMap((pipe) => (pipe[name] ? [pipe[name].bind(pipe)] : []));
    return through(hooks, pcm, (made) => {
      const frame = made ?? new Float32Array(FRAME_SAMPLES);
      if (!(frame instanceof Float32Array) || frame.length !== FRAME_SAMPLES) {
        throw new TypeError(`${name} must return a Float32Array of ${FRAME_SAMPLES} samples, or null`);
      }
      use(frame);
    });
  }

  /** Calls `use` with the text that comes out of the hooks; undefined where one said null. */
  text(name: 'userText' | 'modelText', text: string, use: (text: string | undefined) => unknown): void | Promise<void> {
    const hooks = this.#pipes.flatMap((pipe) => (pipe[name] ? [pipe[name].bind(pipe)] : []));
    return through(hooks, text, (made) => {
      if (made !== null && typeof made !== 'string') throw new TypeError(`${name} must return a string, or null`);
      use(made ?? undefined);
    });
  }
}

/** Asks the hooks in turn, at once as long as none of them is asynchronous; null ends the round. */
function through<T>(
  hooks: readonly ((value: T) => Hooked<T>)[],
  value: T,
  use: (value: T | null) => void,
): void | Promise<void> {
  let current: T | null = value;
  for (const [i, hook] of hooks.entries()) {
    if (current === null) break;
    const made: Hooked<T> = hook(current);
    if (isPromise(made)) {
      const rest = hooks.slice(i + 1);
      return Promise.resolve(made).then((later) => (later === null ? use(null) : through(rest, later, use)));
    }
    current = made;
  }
  use(current);
}

function isPromise<T>(made: Hooked<T>): made is Promise<T | null> {
  return typeof (made as { then?: unknown } | null)?.then === 'function';
}

import type { ClientMessage, ControlAction } from '@moshi/protocol';
import { MoshiError } from './errors';
import type { LiveAudio } from './live-audio';

/** What {@link Controls} needs of its session. */
export interface ControlsHost {
  /** What the server announced. */
  extensions(): ReadonlySet<string>;
  /** Throws `closed` when the session is not ready. */
  send(message: ClientMessage): void;
}

/** The control messages of one session, and what its sound has to know about them. */
export class Controls {
  readonly #host: ControlsHost;
  readonly #audio: LiveAudio;
  /** Restarts that were asked for and that the server has not confirmed. */
  #waiting: { resolve: () => void; reject: (error: MoshiError) => void }[] = [];

  constructor(host: ControlsHost, audio: LiveAudio) {
    this.#host = host;
    this.#audio = audio;
  }

  send(action: ControlAction): void {
    this.#host.send({ type: 'control', action });
    const extensions = this.#host.extensions();
    // A server that obeys drops what waits, and answers nothing while paused or reading its prompts again.
    if (action === 'endTurn' || !extensions.has('control')) return;
    if (action === 'restart') this.#audio.discard();
    if (action === 'pause' || (action === 'restart' && extensions.has('restarted'))) this.#audio.hold();
    else if (action === 'start') this.#audio.resume();
  }

  /** Resolves when the server began anew. */
  async restart(): Promise<void> {
    if (!this.#host.extensions().has('restarted')) {
      throw new MoshiError('unsupported', 'this server cannot begin anew on the same connection: close it and connect');
    }
    this.send('restart');
    await new Promise<void>((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** The server began anew, once for all that asked: it ignores those who ask while it does. */
  restarted(): void {
    this.#audio.resume();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  /** The session is over; `cause` is why, if it did not end as it should. */
  end(cause: MoshiError | undefined): void {
    for (const { reject } of this.#waiting.splice(0)) {
      reject(new MoshiError('closed', 'the session ended before the conversation began anew', { cause }));
    }
  }
}

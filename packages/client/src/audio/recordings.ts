import type { Recording } from './types';

/** The recordings of one session: each is stopped once, with the session at the latest. */
export class Recordings {
  readonly #running = new Set<Recording>();

  /** A recording that began; what comes back is the caller's. */
  add(recording: Recording): Recording {
    let file: Promise<Uint8Array<ArrayBuffer>> | undefined;
    const kept: Recording = {
      get seconds() {
        return recording.seconds;
      },
      stop: () => {
        this.#running.delete(kept);
        file ??= recording.stop();
        return file;
      },
    };
    this.#running.add(kept);
    return kept;
  }

  /** Stops those still running; their files can be had afterwards. */
  async stop(): Promise<void> {
    await Promise.allSettled([...this.#running].map((recording) => recording.stop()));
  }
}

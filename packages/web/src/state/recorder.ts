import type { Recording, Session } from '@moshi/client';
import { signal } from '@preact/signals';
import type { SoundTools } from './sound-tools';

/** Records a call, both sides, until it is stopped or the call ends. */
export class Recorder {
  /** When (`performance.now()`) it began; undefined while nothing is recorded. */
  readonly since = signal<number | undefined>(undefined);
  /** The last one, within reach until the next or until the page goes. */
  readonly saved = signal<{ readonly url: string; readonly name: string } | undefined>(undefined);
  readonly #tools: Pick<SoundTools, 'save'>;
  #recording: Recording | undefined;

  constructor(tools: Pick<SoundTools, 'save'>) {
    this.#tools = tools;
  }

  /** Rejects as `session.record`. */
  async start(session: Pick<Session, 'record'>): Promise<void> {
    this.#recording = await session.record();
    this.since.value = performance.now();
  }

  /** Gives what was recorded to the browser to save; nothing where nothing was. */
  async stop(): Promise<void> {
    const recording = this.#recording;
    this.#recording = undefined;
    this.since.value = undefined;
    if (!recording) return;
    const wav = await recording.stop();
    if (this.saved.value) URL.revokeObjectURL(this.saved.value.url);
    this.saved.value = this.#tools.save(wav);
  }
}

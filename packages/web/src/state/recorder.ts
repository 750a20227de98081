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
  #recording: Promise<Recording> | undefined;

  constructor(tools: Pick<SoundTools, 'save'>) {
    this.#tools = tools;
  }

  /** Rejects as `session.record`. Nothing happens while something is recorded. */
  async start(session: Pick<Session, 'record'>): Promise<void> {
    if (this.#recording) return;
    const recording = session.record();
    this.#recording = recording;
    try {
      await recording;
      if (this.#recording === recording) this.since.value = performance.now();
    } catch (error) {
      if (this.#recording === recording) this.#recording = undefined;
      throw error;
    }
  }

  /** Gives what was recorded to the browser to save; nothing where nothing was. */
  async stop(): Promise<void> {
    const begun = this.#recording;
    this.#recording = undefined;
    this.since.value = undefined;
    const recording = await begun?.catch(() => undefined);
    if (!recording) return;
    const wav = await recording.stop();
    if (this.saved.value) URL.revokeObjectURL(this.saved.value.url);
    this.saved.value = this.#tools.save(wav);
  }
}

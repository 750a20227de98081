import { EngineError, translatedAsync } from './errors';
import { keptSlots } from './keeping-up';
import { LoadedVoices } from './loaded-voices';
import type { NativeEngine, PersonaTimes } from './native';
import { EngineSession } from './session';
import type { Target } from './targets';
import type { EngineDevice, EngineSessionOptions, EngineVoice } from './types';
import type { VoiceLibrary } from './voices';

/** A native engine on one device: its slots, its voices, and whether the device is lost. */
export class DeviceEngine {
  readonly info: EngineDevice;
  /** What its time says, for people. */
  readonly note: string | undefined;
  readonly #native: NativeEngine;
  readonly #voices: LoadedVoices | undefined;
  readonly #sessions = new Set<EngineSession>();
  #taken = 0;
  #lost: EngineError | undefined;

  constructor(native: NativeEngine, { device, plan }: Target, asked: boolean, voices: VoiceLibrary) {
    this.#native = native;
    const { slots: all, weights, kv, context, dialect, rehearsal } = native.info;
    const { slots, keepsUp, note } = keptSlots(rehearsal, { slots: Number(all), asked, where: device });
    this.info = {
      device,
      slots,
      weights: String(weights),
      kv: String(kv),
      context: Number(context),
      keepsUp,
      ...(rehearsal && { rehearsal }),
      ...(plan && { plan }),
    };
    this.note = note;
    if (dialect === 'personaplex') this.#voices = new LoadedVoices(native, voices);
  }

  /** Slots that are free; none when the device is lost. */
  get free(): number {
    return this.#lost ? 0 : this.info.slots - this.#taken;
  }

  /** Why it takes no sessions any more. */
  get lost(): EngineError | undefined {
    return this.#lost;
  }

  async voices(): Promise<EngineVoice[]> {
    return (await this.#voices?.list()) ?? [];
  }

  /** Starts a conversation in a free slot; see {@link Engine.open}. */
  async open({ voice: name, ...options }: EngineSessionOptions): Promise<EngineSession> {
    this.#taken++;
    let session: EngineSession;
    try {
      const voice = name ? await this.#voices?.get(name) : undefined;
      session = EngineSession.begin(this.#native, options, voice, (error) => this.#noticed(error));
    } catch (error) {
      this.#taken--;
      this.#noticed(error);
      throw error;
    }
    this.#sessions.add(session);
    void session.ended.then(() => {
      this.#taken--;
      this.#sessions.delete(session);
    });
    await session.ready;
    return session;
  }

  async timePersona({ voice: name, prompt = '' }: { voice?: string; prompt?: string }): Promise<PersonaTimes> {
    const voice = name ? await this.#voices?.get(name) : undefined;
    return translatedAsync(() => this.#native.timePersona({ voice, prompt }));
  }

  close(): Promise<void> {
    return this.#native.close();
  }

  /** A lost device ends all its sessions, those too that were idle when it failed. */
  #noticed(error: unknown): void {
    if (this.#lost || !(error instanceof EngineError) || error.code !== 'ENGINE_GPU_LOST') return;
    this.#lost = error;
    for (const session of this.#sessions) session.fail(error);
  }
}

import type { DeviceEngine } from './device-engine';
import { EngineError } from './errors';
import type { NativeEngineInfo, PersonaTimes } from './native';
import { settleSessionOptions } from './options';
import type { EngineSession } from './session';
import type { EngineInfo, EngineSessionOptions, EngineVoice } from './types';

/** A loaded model. It steps all its sessions on one native thread a device and never blocks the event loop. */
export class Engine {
  readonly info: EngineInfo;
  readonly #devices: readonly DeviceEngine[];
  #closed: Promise<void> | undefined;

  /** Made by {@link loadEngine}. @internal */
  constructor(devices: readonly DeviceEngine[], native: NativeEngineInfo, model: Loaded) {
    this.#devices = devices;
    const { slots: _, dialect, rehearsal: __, ...details } = native;
    const infos = devices.map(({ info }) => info);
    const kept = infos.map(({ keepsUp }) => keepsUp);
    this.info = {
      model: model.name,
      dialect: dialect === 'personaplex' ? 'personaplex' : 'moshi',
      sampleRate: 24000,
      frameSamples: 1920,
      slots: infos.reduce((sum, { slots }) => sum + slots, 0),
      trained: model.trained,
      features: ['say', 'interrupt', 'endTurn'],
      devices: infos,
      keepsUp: kept.includes(false) ? false : kept.includes(null) ? null : true,
      notes: [...model.notes, ...devices.flatMap(({ note }) => note ?? [])],
      details: {
        ...(details as Record<string, string | number>),
        device: infos.map(({ device }) => device).join(', '),
      },
    };
  }

  /** The voices a session may be opened with, sorted by name; none for models that know no voices. */
  voices(): Promise<EngineVoice[]> {
    return this.#devices[0]!.voices();
  }

  /**
   * Starts a conversation on the device with the most free slots; resolves when voice and role, if any, are read: the first time takes a
   * while, after that the same persona is ready at once. Rejects with code `ENGINE_FULL` when no slot is free, `ENGINE_BAD_OPTION` for bad
   * options, `ENGINE_GPU_LOST` when every GPU it ran on has failed.
   */
  async open(options: EngineSessionOptions = {}): Promise<EngineSession> {
    const settled = settleSessionOptions(options);
    for (;;) {
      const device = this.#roomiest();
      try {
        return await device.open(settled);
      } catch (error) {
        // Another device may still run.
        if (!device.lost || this.#devices.every(({ lost }) => lost)) throw error;
      }
    }
  }

  /** Measures how long a persona takes to be read, three ways, while nothing else should run. */
  timePersona(options: { voice?: string; prompt?: string }): Promise<PersonaTimes> {
    return this.#devices[0]!.timePersona(options);
  }

  /** Closes all sessions, ends the native threads and frees the weights. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= Promise.all(this.#devices.map((device) => device.close())).then(() => {});
    return this.#closed;
  }

  /** The device with the most free slots, of those with as many the first. */
  #roomiest(): DeviceEngine {
    if (this.#closed) throw new EngineError('ENGINE_CLOSED', 'the engine is closed');
    const whole = this.#devices.filter(({ lost }) => !lost);
    if (whole.length === 0) throw this.#devices[0]!.lost!;
    const best = whole.reduce((most, device) => (device.free > most.free ? device : most));
    if (best.free > 0) return best;
    const slots = whole.reduce((sum, { info }) => sum + info.slots, 0);
    throw new EngineError(
      'ENGINE_FULL',
      `all ${slots} slots are taken; wait for a session to close or load with more slots`,
    );
  }
}

/** What is known of a model beside what its engines tell. */
interface Loaded {
  name: string;
  trained: boolean;
  notes: readonly string[];
}

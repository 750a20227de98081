import type { AudioDevice, DeviceList } from '../audio/types';
import { MoshiError } from '../errors';

type Kind = AudioDevice['kind'];

/** The devices of a fake machine: at first one microphone and one loudspeaker. */
export class FakeDevices {
  readonly #listeners = new Set<() => void>();
  #devices: AudioDevice[] = [
    { id: 'microphone', label: 'Fake microphone', kind: 'input', isDefault: true },
    { id: 'loudspeaker', label: 'Fake loudspeaker', kind: 'output', isDefault: true },
  ];

  get list(): DeviceList & { inputs: AudioDevice[]; outputs: AudioDevice[] } {
    const of = (kind: Kind) => this.#devices.filter((device) => device.kind === kind);
    return { inputs: of('input'), outputs: of('output'), labelled: true, canChooseOutput: true };
  }

  default(kind: Kind): AudioDevice | undefined {
    return this.#devices.find((device) => device.kind === kind && device.isDefault);
  }

  /** The device with this id, or the default one. Throws `no-device`. */
  find(kind: Kind, id: string | undefined): AudioDevice {
    const wanted = (device: AudioDevice) => (id === undefined ? device.isDefault : device.id === id);
    const found = this.#devices.find((device) => device.kind === kind && wanted(device));
    if (found) return found;
    const name = kind === 'input' ? 'microphone' : 'loudspeaker';
    throw new MoshiError('no-device', `there is no ${id === undefined ? name : `${name} '${id}'`}: plug one in`);
  }

  add({ id, kind, label = id }: { readonly id: string; readonly kind: Kind; readonly label?: string }): void {
    this.#devices.push({ id, kind, label, isDefault: this.default(kind) === undefined });
    this.#changed();
  }

  /** What is left of its kind may become the default. */
  remove(gone: AudioDevice): void {
    this.#devices = this.#devices.filter((device) => device.id !== gone.id);
    const heir = gone.isDefault && this.#devices.find((device) => device.kind === gone.kind);
    if (heir) this.#devices[this.#devices.indexOf(heir)] = { ...heir, isDefault: true };
    this.#changed();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

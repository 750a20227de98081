import type { InputPort, InputSink } from '../audio/platform';
import { SoundMeter } from '../audio/sound-meter';
import type { AudioDevice } from '../audio/types';
import type { MoshiError } from '../errors';

/** A microphone that hears what it is given; without a device, silence. */
export class FakeInput implements InputPort {
  readonly #sink: InputSink;
  readonly #closed: () => void;
  readonly #meter: SoundMeter;
  #device: AudioDevice | undefined;
  #muted: boolean;

  constructor(
    readonly sampleRate: number,
    device: AudioDevice | undefined,
    muted: boolean,
    sink: InputSink,
    closed: () => void,
  ) {
    this.#sink = sink;
    this.#closed = closed;
    this.#meter = new SoundMeter(sampleRate);
    this.#device = device;
    this.#muted = muted;
  }

  get device(): AudioDevice | undefined {
    return this.#device;
  }

  get level(): number {
    return this.#meter.level;
  }

  hear(pcm: Float32Array): void {
    if (this.#muted || !this.#device) pcm.fill(0);
    this.#meter.push(pcm);
    this.#sink.samples(pcm, performance.now());
  }

  lose(error: MoshiError): void {
    this.#device = undefined;
    this.#sink.lost(error);
  }

  setMuted(muted: boolean): void {
    this.#muted = muted;
  }

  getByteFrequencyData(bands: Uint8Array): void {
    this.#meter.getByteFrequencyData(bands);
  }

  async close(): Promise<void> {
    this.#closed();
  }
}

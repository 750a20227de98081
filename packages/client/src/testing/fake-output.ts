import type { OutputOptions, OutputPort, OutputSink } from '../audio/platform';
import { SoundMeter } from '../audio/sound-meter';
import type { AudioDevice } from '../audio/types';
import type { MoshiError } from '../errors';
import { PlayoutBuffer } from '../playout/playout-buffer';

const STATUS_MS = 50;

/** What a loudspeaker needs of its machine. */
interface Machine {
  choose(id: string | undefined): AudioDevice;
  nowMs(): number;
  closed(output: FakeOutput): void;
}

/** A loudspeaker that plays into the test's hands. */
export class FakeOutput implements OutputPort {
  readonly node = undefined;
  readonly #machine: Machine;
  readonly #sink: OutputSink;
  readonly #playout: PlayoutBuffer;
  readonly #meter: SoundMeter;
  #device: AudioDevice | undefined;
  #volume: number;
  #blocked: boolean;
  #sinceStatusMs = 0;
  #state = 'empty';

  constructor(
    readonly sampleRate: number,
    options: OutputOptions & { readonly blocked: boolean },
    sink: OutputSink,
    machine: Machine,
  ) {
    this.#machine = machine;
    this.#device = machine.choose(options.deviceId);
    this.#volume = options.volume;
    this.#sink = sink;
    this.#blocked = options.blocked;
    this.#playout = new PlayoutBuffer({ ...options.playout, sampleRate });
    this.#meter = new SoundMeter(sampleRate);
    queueMicrotask(() => sink.state(this.#blocked ? 'blocked' : 'playing'));
  }

  get device(): AudioDevice | undefined {
    return this.#device;
  }

  get level(): number {
    return this.#meter.level;
  }

  /** Plays on top of what is in `out`. */
  play(out: Float32Array, ms: number): void {
    if (this.#blocked || !this.#device) return;
    const block = new Float32Array(out.length);
    this.#playout.pull(block);
    for (let i = 0; i < out.length; i++) block[i]! *= this.#volume;
    this.#meter.push(block);
    for (let i = 0; i < out.length; i++) out[i]! += block[i]!;
    this.#sinceStatusMs += ms;
    const { state } = this.#playout.status;
    if (state === this.#state && this.#sinceStatusMs < STATUS_MS) return;
    this.#state = state;
    this.#tell();
  }

  /** What comes while it is blocked is left out, as in a browser. */
  push(pcm: Float32Array, time: number): void {
    if (!this.#blocked) this.#playout.push(pcm, time, this.#machine.nowMs());
  }

  clear(): void {
    this.#playout.clear();
    this.#tell();
  }

  setVolume(volume: number): void {
    this.#volume = volume;
  }

  async setDevice(deviceId: string | undefined): Promise<void> {
    this.#device = this.#machine.choose(deviceId);
  }

  async resume(): Promise<void> {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#sink.state('playing');
  }

  lose(error: MoshiError): void {
    this.#device = undefined;
    this.#sink.lost(error);
  }

  getByteFrequencyData(bands: Uint8Array): void {
    this.#meter.getByteFrequencyData(bands);
  }

  async close(): Promise<void> {
    this.#machine.closed(this);
  }

  #tell(): void {
    this.#sinceStatusMs = 0;
    this.#sink.status({ ...this.#playout.status, atMs: performance.now() });
  }
}

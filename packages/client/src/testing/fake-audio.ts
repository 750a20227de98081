import { SAMPLE_RATE } from '@moshi/protocol';
import { concat, resample } from '@moshi/protocol/audio';
import type {
  AudioPlatform,
  InputOptions,
  InputPort,
  InputSink,
  OutputOptions,
  OutputPort,
  OutputSink,
} from '../audio/platform';
import type { AudioDevice } from '../audio/types';
import { MoshiError } from '../errors';
import { FakeDevices } from './fake-devices';
import { FakeInput } from './fake-input';
import { FakeOutput } from './fake-output';

/** What {@link fakeAudio} may be told. */
export interface FakeAudioOptions {
  /** What there is to hear for every microphone, 24 kHz mono, from the moment the first is opened; then, and by default, silence. */
  readonly microphone?: Float32Array;
  /** Samples a second of the devices, at least 1000; default 24 000. With any other the session has to resample. */
  readonly sampleRate?: number;
}

/** Devices on a clock that the test turns. */
export interface FakeAudio extends AudioPlatform {
  /** Lets so much time pass, 10 ms by 10 ms; between them everything that is under way in memory gets its turn. */
  advance(ms: number): Promise<void>;
  /** All that the loudspeakers played, and their silence, while one was open: 24 kHz mono. */
  readonly heard: Float32Array;
  /** Microphones that are open now. */
  readonly openInputs: number;
  /** Loudspeakers that are open now. */
  readonly openOutputs: number;
  /** A device goes away; without an id, the default microphone. */
  unplug(id?: string): void;
  /** A device comes; it is not the default unless it is the only one of its kind. */
  plug(device: { readonly id: string; readonly kind: 'input' | 'output'; readonly label?: string }): void;
  /** The user refuses the microphone from here on. */
  deny(): void;
  /** The user allows it again. */
  allow(): void;
  /** Loudspeakers opened from here on leave out what comes until `resume` is called on them, as where a browser wants a click first. */
  blockAutoplay(): void;
}

const STEP_MS = 10;
/** Tests may have replaced it by a clock of their own. */
const { setTimeout: nextTurn } = globalThis;

/**
 * Microphone and loudspeaker without devices: `connect(url, { audio: { platform: fakeAudio({ microphone: tone(440, 2) }) } })`.
 * Nothing is heard, and nothing played, until the test says so with `advance`.
 */
export function fakeAudio(options: FakeAudioOptions = {}): FakeAudio {
  return new Platform(options);
}

class Platform implements FakeAudio {
  readonly #rate: number;
  readonly #world: Float32Array;
  readonly #devices = new FakeDevices();
  readonly #inputs = new Set<FakeInput>();
  readonly #outputs = new Set<FakeOutput>();
  readonly #heard: Float32Array[] = [];
  /** Samples since the first microphone was opened. */
  #at = 0;
  #began = false;
  #nowMs = 0;
  #denied = false;
  #blocked = false;

  constructor({ microphone = new Float32Array(0), sampleRate = SAMPLE_RATE }: FakeAudioOptions) {
    if (!(sampleRate >= 1000)) throw new RangeError(`fakeAudio: a sample rate of ${sampleRate} Hz is none`);
    this.#rate = sampleRate;
    this.#world = resample(microphone, SAMPLE_RATE, sampleRate);
  }

  get heard(): Float32Array {
    return resample(concat(this.#heard), this.#rate, SAMPLE_RATE);
  }

  get openInputs(): number {
    return this.#inputs.size;
  }

  get openOutputs(): number {
    return this.#outputs.size;
  }

  async openInput(options: InputOptions, sink: InputSink): Promise<InputPort> {
    const needsDevice = options.source !== 'silence' && !options.stream;
    if (needsDevice && this.#denied) {
      throw new MoshiError('permission-denied', 'the microphone was refused: allow it, as fakeAudio().allow() does');
    }
    const device = needsDevice ? this.#devices.find('input', options.deviceId) : undefined;
    this.#began = true;
    const input: FakeInput = new FakeInput(this.#rate, device, options.muted, sink, () => this.#inputs.delete(input));
    this.#inputs.add(input);
    return input;
  }

  async openOutput(options: OutputOptions, sink: OutputSink): Promise<OutputPort> {
    const output = new FakeOutput(this.#rate, { ...options, blocked: this.#blocked }, sink, {
      choose: (id) => this.#devices.find('output', id),
      nowMs: () => this.#nowMs,
      closed: (closed) => this.#outputs.delete(closed),
    });
    this.#outputs.add(output);
    return output;
  }

  async devices() {
    return this.#devices.list;
  }

  onDevices(listener: () => void): () => void {
    return this.#devices.onChange(listener);
  }

  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      this.#step(Math.min(left, STEP_MS));
      await new Promise<void>((resolve) => nextTurn(resolve, 0));
    }
  }

  unplug(id = this.#devices.default('input')?.id): void {
    const device = this.#devices.list.inputs.concat(this.#devices.list.outputs).find((each) => each.id === id);
    if (!device) throw new RangeError(`fakeAudio: there is no device '${id}' to unplug`);
    const error = new MoshiError(
      'device-lost',
      `${device.label} went away: plug it in again, or choose another device`,
    );
    const lost = (port: { readonly device: AudioDevice | undefined; lose(error: MoshiError): void }) =>
      port.device?.id === id && port.lose(error);
    this.#devices.remove(device);
    for (const port of [...this.#inputs, ...this.#outputs]) lost(port);
  }

  plug(device: { readonly id: string; readonly kind: 'input' | 'output'; readonly label?: string }): void {
    this.#devices.add(device);
  }

  deny(): void {
    this.#denied = true;
  }

  allow(): void {
    this.#denied = false;
  }

  blockAutoplay(): void {
    this.#blocked = true;
  }

  #step(ms: number): void {
    this.#nowMs += ms;
    const count = Math.round((ms / 1000) * this.#rate);
    for (const input of this.#inputs) {
      const block = new Float32Array(count);
      block.set(this.#world.subarray(this.#at, this.#at + count));
      input.hear(block);
    }
    if (this.#began) this.#at += count;
    if (this.#outputs.size === 0) return;
    const block = new Float32Array(count);
    for (const output of this.#outputs) output.play(block, ms);
    this.#heard.push(block);
  }
}

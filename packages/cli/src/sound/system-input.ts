import { type AudioDevice, type InputPort, type InputSink, type MoshiError, SoundMeter } from '@moshi/client';
import { SAMPLE_RATE } from '@moshi/protocol';
import { Metronome } from './metronome';

/** A microphone port that something else feeds; it mutes and meters, and goes on in silence when its source is gone. */
export class SystemInput implements InputPort {
  readonly sampleRate = SAMPLE_RATE;
  readonly #sink: InputSink;
  readonly #release: () => Promise<void> | void;
  readonly #meter = new SoundMeter(SAMPLE_RATE);
  #device: AudioDevice | undefined;
  #muted: boolean;
  #silence: Metronome | undefined;
  #closed = false;

  /** `release` is called once, at the end. */
  constructor(
    sink: InputSink,
    options: { readonly muted: boolean; readonly device?: AudioDevice },
    release: () => Promise<void> | void = () => {},
  ) {
    this.#sink = sink;
    this.#muted = options.muted;
    this.#device = options.device;
    this.#release = release;
  }

  get device(): AudioDevice | undefined {
    return this.#device;
  }

  get level(): number {
    return this.#meter.level;
  }

  /** Sound of the source, which may be overwritten. */
  hear(pcm: Float32Array): void {
    if (this.#closed) return;
    if (this.#muted) pcm.fill(0);
    this.#meter.push(pcm);
    this.#sink.samples(pcm, performance.now());
  }

  /** From here on it hears silence, in real time. */
  hearSilence(): void {
    if (!this.#closed) this.#silence ??= new Metronome(SAMPLE_RATE, (samples) => this.hear(new Float32Array(samples)));
  }

  /** The source is gone. */
  lose(error: MoshiError): void {
    if (this.#closed) return;
    this.#device = undefined;
    this.hearSilence();
    this.#sink.lost(error);
  }

  setMuted(muted: boolean): void {
    this.#muted = muted;
  }

  getByteFrequencyData(bands: Uint8Array): void {
    this.#meter.getByteFrequencyData(bands);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#silence?.stop();
    await this.#release();
  }
}

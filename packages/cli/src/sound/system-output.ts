import {
  type AudioDevice,
  type MoshiError,
  type OutputOptions,
  type OutputPort,
  type OutputSink,
  PlayoutBuffer,
  SoundMeter,
} from '@moshi/client';
import { SAMPLE_RATE } from '@moshi/protocol';
import { Metronome } from './metronome';

const STATUS_MS = 50;
/** Timers come late by as much on a busy machine. */
const LEAST_ROOM_MS = 60;
/** A step in volume would click. */
const RAMP_SAMPLES = SAMPLE_RATE / 50;

/** Where sound goes in the end. */
export interface Drain {
  readonly device: AudioDevice | undefined;
  /** Milliseconds from `write` until it is heard: so much it holds. */
  readonly latencyMs: number;
  /** It gets everything from the beginning, silence, too; others from the first sound on. */
  readonly fromStart?: boolean;
  write(pcm: Float32Array): void;
  close(): Promise<void> | void;
}

/** Opens a drain; `lost` may be called once, when it is gone. Rejects with MoshiError. */
export type OpenDrain = (deviceId: string | undefined, lost: (error: MoshiError) => void) => Promise<Drain>;

/** A loudspeaker port: the jitter buffer, volume and meter before whatever drain. */
export class SystemOutput implements OutputPort {
  readonly sampleRate = SAMPLE_RATE;
  readonly node = undefined;
  readonly #open: OpenDrain;
  readonly #sink: OutputSink;
  readonly #playout: PlayoutBuffer;
  readonly #meter = new SoundMeter(SAMPLE_RATE);
  readonly #clock: Metronome;
  #drain: Drain | undefined;
  #begun = false;
  #volume: number;
  /** What the last sample was played with. */
  #gain: number;
  #state = 'empty';
  #statusAt = 0;

  private constructor(open: OpenDrain, options: OutputOptions, sink: OutputSink) {
    this.#open = open;
    this.#sink = sink;
    this.#volume = options.volume;
    this.#gain = options.volume;
    this.#playout = new PlayoutBuffer({ ...options.playout, sampleRate: SAMPLE_RATE });
    this.#clock = new Metronome(SAMPLE_RATE, (samples) => this.#play(samples));
  }

  static async open(open: OpenDrain, options: OutputOptions, sink: OutputSink): Promise<SystemOutput> {
    const output = new SystemOutput(open, options, sink);
    try {
      await output.setDevice(options.deviceId);
    } catch (error) {
      output.#clock.stop();
      throw error;
    }
    sink.state('playing');
    return output;
  }

  get device(): AudioDevice | undefined {
    return this.#drain?.device;
  }

  get level(): number {
    return this.#meter.level;
  }

  push(pcm: Float32Array, time: number): void {
    this.#begun = true;
    this.#playout.push(pcm, time, performance.now());
  }

  clear(): void {
    this.#playout.clear();
    this.#tell();
  }

  setVolume(volume: number): void {
    this.#volume = volume;
  }

  async setDevice(deviceId: string | undefined): Promise<void> {
    let drain: Drain | undefined;
    let gone: MoshiError | undefined;
    const lose = () => {
      if (!gone || !drain || this.#drain !== drain) return;
      // Nobody hears it, and captions go on as if.
      this.#drain = undefined;
      this.#sink.lost(gone);
    };
    drain = await this.#open(deviceId, (error) => {
      gone = error;
      lose();
    });
    const before = this.#drain;
    this.#drain = drain;
    lose();
    await before?.close();
  }

  async resume(): Promise<void> {}

  getByteFrequencyData(bands: Uint8Array): void {
    this.#meter.getByteFrequencyData(bands);
  }

  async close(): Promise<void> {
    this.#clock.stop();
    const drain = this.#drain;
    this.#drain = undefined;
    await drain?.close();
  }

  #play(due: number): void {
    const drain = this.#drain;
    // A loudspeaker that ran dry has been silent for the rest: to write it now would keep everything after it late.
    const most = (Math.max(drain?.latencyMs ?? 0, LEAST_ROOM_MS) / 1000) * SAMPLE_RATE;
    const samples = Math.min(due, most);
    const pcm = new Float32Array(samples);
    this.#playout.pull(pcm);
    for (let i = 0; i < samples; i++) {
      const step = this.#volume - this.#gain;
      this.#gain += Math.max(-1 / RAMP_SAMPLES, Math.min(1 / RAMP_SAMPLES, step));
      pcm[i]! *= this.#gain;
    }
    this.#meter.push(pcm);
    if (this.#begun || drain?.fromStart) drain?.write(pcm);
    if (this.#playout.status.state !== this.#state || performance.now() - this.#statusAt >= STATUS_MS) this.#tell();
  }

  #tell(): void {
    const status = this.#playout.status;
    this.#state = status.state;
    this.#statusAt = performance.now();
    this.#sink.status({ ...status, atMs: this.#statusAt + (this.#drain?.latencyMs ?? 0) });
  }
}

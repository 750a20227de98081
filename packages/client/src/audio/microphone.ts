import type { MoshiError } from '../errors';
import { Listeners } from './listeners';
import { sessionEnded } from './media-errors';
import type { AudioPlatform, InputPort, InputSink } from './platform';
import { ResampledInput } from './resampled';
import { Turns } from './turns';
import type {
  AudioDevice,
  CaptureMetrics,
  Microphone,
  MicrophoneEvents,
  MicrophoneOptions,
  MicrophoneState,
} from './types';

/** A microphone on any {@link AudioPlatform}: which port is open, what it is told, and what becomes of its sound. */
export class PlatformMicrophone extends Listeners<MicrophoneEvents> implements Microphone {
  readonly #platform: AudioPlatform;
  readonly #input: ResampledInput;
  readonly #turns = new Turns();
  #options: MicrophoneOptions = {};
  #port: InputPort | undefined;
  #state: MicrophoneState = { status: 'off' };
  #device: AudioDevice | undefined;
  #muted = false;
  /** Why the open port gives silence without being asked to. */
  #silence: { readonly reason: 'device-lost' | 'interrupted'; readonly error?: MoshiError } | undefined;
  #unwatch: (() => void) | undefined;
  #ended = false;
  #capturedSeconds = 0;
  #latencyMs = 0;

  /** `send` takes 24 kHz mono samples. */
  constructor(platform: AudioPlatform, send: (pcm: Float32Array) => void) {
    super();
    this.#platform = platform;
    this.#input = new ResampledInput((pcm) => {
      if (!this.#ended) send(pcm);
    });
  }

  get state(): MicrophoneState {
    return this.#state;
  }

  get device(): AudioDevice | undefined {
    return this.#device;
  }

  get muted(): boolean {
    return this.#muted;
  }

  get level(): number {
    return this.#muted ? 0 : (this.#port?.level ?? 0);
  }

  get metrics(): CaptureMetrics | undefined {
    if (!this.#port) return undefined;
    const { sampleRate } = this.#port;
    return {
      sampleRate,
      capturedSeconds: this.#capturedSeconds,
      latencyMs: this.#latencyMs,
      muted: this.#muted,
    };
  }

  getByteFrequencyData(bands: Uint8Array): void {
    if (this.#port && !this.#muted) this.#port.getByteFrequencyData(bands);
    else bands.fill(0);
  }

  start(options: MicrophoneOptions = {}): Promise<void> {
    return this.#turns.run(async () => {
      if (options.muted !== undefined) this.setMuted(options.muted);
      if (!this.#port) this.#become({ status: 'starting' });
      try {
        await this.#open({ deviceId: this.#options.deviceId, ...options });
      } catch (error) {
        if (!this.#port) this.#become({ status: 'off' });
        throw error;
      }
      this.#unwatch ??= this.#platform.onDevices(() => void this.#onDevices());
    });
  }

  stop(): Promise<void> {
    return this.#turns.run(() => this.#close());
  }

  setMuted(muted: boolean): void {
    if (this.#muted === muted) return;
    this.#muted = muted;
    this.#port?.setMuted(muted);
    this.emit('muted', muted);
  }

  setDevice(deviceId: string | undefined): Promise<void> {
    return this.#turns.run(async () => {
      const options: MicrophoneOptions = { ...this.#options, deviceId, source: 'device', stream: undefined };
      if (this.#port) await this.#open(options);
      else this.#options = options;
    });
  }

  /** The session is over: lets go of the device for good. */
  end(): Promise<void> {
    this.#ended = true;
    return this.stop();
  }

  /** The old port gives sound until the one asked for is open, and keeps doing so when that fails. */
  async #open(options: MicrophoneOptions): Promise<void> {
    if (this.#ended) throw sessionEnded('use the microphone');
    const { onDeviceLost: _, ...input } = options;
    const link = this.#makeSink();
    const port = await this.#platform.openInput({ ...input, muted: this.#muted }, link.sink);
    if (this.#ended) {
      await port.close();
      throw sessionEnded('use the microphone');
    }
    // It may have been muted while the browser asked the user.
    port.setMuted(this.#muted);
    const old = this.#port;
    this.#options = options;
    this.#port = port;
    this.#silence = undefined;
    this.#setDevice(port.device);
    this.#settle();
    link.adopt(port);
    await old?.close();
  }

  /** A port's words count while it is the one in use; what it says before that is kept. */
  #makeSink(): { sink: InputSink; adopt(port: InputPort): void } {
    let own: InputPort | undefined;
    const early: (() => void)[] = [];
    const inUse = (task: () => void) => {
      if (own === undefined) early.push(task);
      else if (own === this.#port) task();
    };
    return {
      adopt: (port) => {
        own = port;
        for (const task of early.splice(0)) task();
      },
      sink: {
        samples: (pcm, atMs) => {
          if (own !== undefined && own === this.#port) this.#take(pcm, own.sampleRate, atMs);
        },
        lost: (error) => inUse(() => this.#onLost(error)),
        interrupted: (on) => inUse(() => this.#onInterrupted(on)),
      },
    };
  }

  #take(pcm: Float32Array, sampleRate: number, atMs: number): void {
    this.#capturedSeconds += pcm.length / sampleRate;
    this.#latencyMs = performance.now() - atMs;
    this.#input.push(pcm, sampleRate);
  }

  #onLost(error: MoshiError): void {
    this.#silence = { reason: 'device-lost', error };
    this.#setDevice(undefined);
    this.#settle();
    this.emit('error', error);
    if (this.#followsDefault) void this.#takeDefault();
  }

  /** Another device came: it may be the one to go on with. */
  async #onDevices(): Promise<void> {
    if (this.#silence?.reason === 'device-lost' && this.#followsDefault) await this.#takeDefault();
  }

  /** Whoever gave sound of his own did not ask for a microphone: it is not opened when that sound ends. */
  get #followsDefault(): boolean {
    return this.#options.onDeviceLost !== 'silence' && this.#options.stream === undefined;
  }

  async #takeDefault(): Promise<void> {
    await this.#turns.run(async () => {
      if (!this.#port || this.#silence?.reason !== 'device-lost') return;
      // Where there is none, silence goes on until one comes.
      await this.#open({ ...this.#options, deviceId: undefined }).catch(() => {});
    });
  }

  #onInterrupted(on: boolean): void {
    if (this.#silence?.reason === 'device-lost') return;
    this.#silence = on ? { reason: 'interrupted' } : undefined;
    this.#settle();
  }

  async #close(): Promise<void> {
    const port = this.#port;
    this.#port = undefined;
    this.#silence = undefined;
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#input.flush();
    this.#setDevice(undefined);
    this.#become({ status: 'off' });
    await port?.close();
  }

  #settle(): void {
    if (this.#silence) this.#become({ status: 'silent', ...this.#silence });
    else if (this.#options.source === 'silence') this.#become({ status: 'silent', reason: 'chosen' });
    else this.#become(this.#device ? { status: 'on', device: this.#device } : { status: 'on' });
  }

  #setDevice(device: AudioDevice | undefined): void {
    if (this.#device?.id === device?.id && this.#device?.label === device?.label) return;
    this.#device = device;
    this.emit('device', device);
  }

  #become(state: MicrophoneState): void {
    const old = this.#state;
    this.#state = state;
    if (old.status !== state.status || old.status !== 'off') this.emit('state', state);
  }
}

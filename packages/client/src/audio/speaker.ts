import { SAMPLE_RATE } from '@moshi/protocol';
import { MoshiError } from '../errors';
import type { AudioEvent, SayWordEvent, TextEvent } from '../events';
import { resolvePlayout } from '../playout/options';
import type { PlayoutStatus } from '../playout/types';
import { Captions } from './captions';
import { OutputClock } from './clock';
import { Listeners } from './listeners';
import { sessionEnded } from './media-errors';
import type { AudioPlatform, OutputPort, OutputSink, OutputStatus } from './platform';
import { ResampledOutput } from './resampled';
import { Turns } from './turns';
import type {
  AudioDevice,
  AudioNodeLike,
  PlaybackClock,
  Speaker,
  SpeakerEvents,
  SpeakerOptions,
  SpeakerState,
} from './types';

/** How long, and how softly, a model that was interrupted is heard: what was under way still comes. */
const DUCK_MS = 1000;
const DUCK = 0.1;
const REPORT_MS = 1000;

const NOTHING: PlayoutStatus = {
  state: 'empty',
  time: undefined,
  bufferedMs: 0,
  targetMs: 0,
  underruns: 0,
  missedMs: 0,
  overflows: 0,
  droppedMs: 0,
  trimmedMs: 0,
  playedSeconds: 0,
};

/** A loudspeaker on any {@link AudioPlatform}: what it plays, where its listener is, and which words he hears. */
export class PlatformSpeaker extends Listeners<SpeakerEvents> implements Speaker {
  readonly #platform: AudioPlatform;
  readonly #turns = new Turns();
  readonly #clock = new OutputClock();
  readonly #captions = new Captions((word) => this.emit('word', word));
  #options: SpeakerOptions = {};
  #port: OutputPort | undefined;
  #output: ResampledOutput | undefined;
  #state: SpeakerState = { status: 'off' };
  #device: AudioDevice | undefined;
  #volume = 1;
  #playout = NOTHING;
  /** Seconds of reply audio that have come. */
  #received = 0;
  #reportedAt = 0;
  #duckTimer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(platform: AudioPlatform) {
    super();
    this.#platform = platform;
  }

  get state(): SpeakerState {
    return this.#state;
  }

  get device(): AudioDevice | undefined {
    return this.#device;
  }

  get volume(): number {
    return this.#volume;
  }

  get level(): number {
    return this.#port?.level ?? 0;
  }

  get playout(): PlayoutStatus {
    return this.#playout;
  }

  get clock(): PlaybackClock {
    return this.#clock;
  }

  get node(): AudioNodeLike | undefined {
    return this.#port?.node;
  }

  /** Undefined while off. */
  get metrics(): PlayoutStatus | undefined {
    return this.#port && this.#playout;
  }

  getByteFrequencyData(bands: Uint8Array): void {
    if (this.#port) this.#port.getByteFrequencyData(bands);
    else bands.fill(0);
  }

  start(options: SpeakerOptions = {}): Promise<void> {
    return this.#turns.run(async () => {
      checkOptions(options);
      if (!this.#port) this.#become('starting');
      try {
        await this.#open({ ...this.#options, ...options });
      } catch (error) {
        if (!this.#port) this.#become('off');
        throw error;
      }
    });
  }

  stop(): Promise<void> {
    return this.#turns.run(() => this.#close());
  }

  async resume(): Promise<void> {
    await this.#port?.resume();
  }

  setDevice(deviceId: string | undefined): Promise<void> {
    return this.#turns.run(async () => {
      await this.#port?.setDevice(deviceId);
      this.#options = { ...this.#options, deviceId };
      this.#setDevice(this.#port?.device);
    });
  }

  setVolume(volume: number): void {
    checkVolume(volume);
    this.#volume = volume;
    this.#applyVolume();
  }

  clear(): void {
    // In this order: the clock passes over what is forgotten.
    this.#captions.clear();
    this.#port?.clear();
  }

  /** The user speaks: what is buffered is forgotten, and what is still under way is heard softly. */
  interrupt(): void {
    if (!this.#port) return;
    this.clear();
    clearTimeout(this.#duckTimer);
    this.#duckTimer = setTimeout(() => {
      this.#duckTimer = undefined;
      this.#applyVolume();
    }, DUCK_MS);
    this.#applyVolume();
  }

  /** The model's sound, as the session gives it. */
  play({ pcm, time }: AudioEvent): void {
    this.#received = time + pcm.length / SAMPLE_RATE;
    this.#output?.push(pcm, time);
  }

  /** The model's text. */
  read(event: TextEvent): void {
    if (this.#isHeard) this.#captions.text(event);
  }

  /** A word the model was made to say. */
  announce(event: SayWordEvent): void {
    if (this.#isHeard) this.#captions.sayWord(event);
  }

  /** The session is over: lets go of the device for good. */
  end(): Promise<void> {
    this.#ended = true;
    return this.stop();
  }

  /** What comes while it is blocked, or interrupted, is left out. */
  get #isHeard(): boolean {
    return this.#port !== undefined && this.#state.status === 'playing';
  }

  async #open(options: SpeakerOptions): Promise<void> {
    if (this.#ended) throw sessionEnded('use the speaker');
    const { deviceId, playout = {} } = options;
    const volume = options.volume ?? this.#volume;
    let port: OutputPort | undefined;
    let early: SpeakerState['status'] = 'playing';
    let lostEarly: MoshiError | undefined;
    const sink: OutputSink = {
      status: (status) => port && port === this.#port && this.#onStatus(status),
      state: (state) => {
        early = state;
        if (port && port === this.#port) this.#become(state);
      },
      device: (device) => {
        if (port && port === this.#port) this.#setDevice(device);
      },
      lost: (error) => {
        if (port && port === this.#port) void this.#onLost(error);
        // It is told only once.
        else lostEarly = error;
      },
    };
    port = await this.#platform.openOutput({ deviceId, volume, playout }, sink);
    const opened = port;
    if (this.#ended) {
      await opened.close();
      throw sessionEnded('use the speaker');
    }
    const old = this.#port;
    this.#options = options;
    this.#volume = volume;
    this.#port = opened;
    this.#output = new ResampledOutput(opened.sampleRate, (pcm, time) => opened.push(pcm, time));
    this.#playout = NOTHING;
    this.#setDevice(opened.device);
    this.#become(early);
    if (lostEarly) void this.#onLost(lostEarly);
    await old?.close();
  }

  #onStatus(status: OutputStatus): void {
    const before = this.#playout;
    this.#playout = plain(status);
    this.#clock.note(status);
    if (status.missedMs > before.missedMs) this.emit('underrun', { missedMs: status.missedMs - before.missedMs });
    if (status.droppedMs > before.droppedMs) this.emit('overflow', { droppedMs: status.droppedMs - before.droppedMs });
    const heard = this.#clock.now;
    if (heard !== undefined) this.#captions.advance(heard, this.#received);
    const now = performance.now();
    if (now - this.#reportedAt < REPORT_MS) return;
    this.#reportedAt = now;
    this.emit('playout', this.#playout);
  }

  /** On with the default device; where there is none, off. */
  async #onLost(error: MoshiError): Promise<void> {
    this.emit('error', error);
    await this.setDevice(undefined)
      .catch(() => this.stop())
      // It is off all the same.
      .catch(() => {});
  }

  async #close(): Promise<void> {
    const port = this.#port;
    this.#port = undefined;
    this.#output = undefined;
    this.#captions.clear();
    clearTimeout(this.#duckTimer);
    this.#duckTimer = undefined;
    this.#setDevice(undefined);
    this.#become('off');
    await port?.close();
  }

  #applyVolume(): void {
    this.#port?.setVolume(this.#duckTimer === undefined ? this.#volume : this.#volume * DUCK);
  }

  #setDevice(device: AudioDevice | undefined): void {
    if (this.#device?.id === device?.id && this.#device?.label === device?.label) return;
    this.#device = device;
    this.emit('device', device);
  }

  #become(status: SpeakerState['status']): void {
    if (this.#state.status === status) return;
    this.#state = { status };
    this.emit('state', this.#state);
  }
}

/** The listener's part of a report. */
function plain({ atMs: _, ...status }: OutputStatus): PlayoutStatus {
  return status;
}

/** A worklet that is made with what cannot be would be silent, and say nothing. */
function checkOptions({ volume, playout }: SpeakerOptions): void {
  if (volume !== undefined) checkVolume(volume);
  try {
    resolvePlayout({ ...playout, sampleRate: SAMPLE_RATE });
  } catch (cause) {
    throw new MoshiError('bad-option', `playout: ${(cause as Error).message}`, { cause });
  }
}

function checkVolume(volume: number): void {
  if (volume >= 0 && volume <= 1) return;
  throw new MoshiError('bad-option', `a volume is 0 to 1, not ${volume}`);
}

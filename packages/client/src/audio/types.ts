import type { MoshiError } from '../errors';
import type { AudioEvent, SayWordEvent, TextEvent } from '../events';
import type { PlayoutOptions, PlayoutStatus } from '../playout/types';
import type { SessionState } from '../state';
import type { AudioPlatform } from './platform';

/** What is used of a browser's `MediaStream`; declared by shape, so that Node programs need no types of the DOM. */
export interface MediaStreamLike {
  getAudioTracks(): readonly object[];
}

/** What is used of a browser's `AudioContext`, by shape. */
export interface AudioContextLike {
  readonly sampleRate: number;
  readonly currentTime: number;
  readonly audioWorklet: object;
}

/** What is told of a browser's `AudioNode`, by shape: cast it to `AudioNode` to connect it. */
export interface AudioNodeLike {
  readonly context: object;
  connect(...destination: never[]): unknown;
}

/** A microphone or loudspeaker of this machine. */
export interface AudioDevice {
  readonly id: string;
  /** Its name; empty until a microphone was allowed. */
  readonly label: string;
  readonly kind: 'input' | 'output';
  readonly isDefault: boolean;
}

/** What there is to choose from. */
export interface DeviceList {
  readonly inputs: readonly AudioDevice[];
  readonly outputs: readonly AudioDevice[];
  /** Whether names are told: browsers keep them back until a microphone was allowed. */
  readonly labelled: boolean;
  /** Whether this browser lets a page choose its loudspeaker. */
  readonly canChooseOutput: boolean;
}

/** Options of {@link Microphone.start}. */
export interface MicrophoneOptions {
  /** Which one, by {@link AudioDevice.id}; default: the system's default. */
  readonly deviceId?: string;
  /** Take what the loudspeaker plays out of what the microphone hears; default true. */
  readonly echoCancellation?: boolean;
  /** Default true. */
  readonly noiseSuppression?: boolean;
  /** Default true. */
  readonly autoGainControl?: boolean;
  /** Begin muted; default false. */
  readonly muted?: boolean;
  /** Sound of your own in place of a device; `stop` leaves it alone. When it ends no device takes its place. */
  readonly stream?: MediaStreamLike;
  /** `silence`: no device at all, the model hears silence in real time: for typing, and after a refusal. Default `device`. */
  readonly source?: 'device' | 'silence';
  /** When the device goes away: on with the default one (the default), or silence until `setDevice`. After a `stream` that ends there is always silence. */
  readonly onDeviceLost?: 'default' | 'silence';
}

/** Where the microphone is. */
export type MicrophoneState =
  | { readonly status: 'off' }
  | { readonly status: 'starting' }
  | { readonly status: 'on'; readonly device?: AudioDevice }
  | {
      readonly status: 'silent';
      readonly reason: 'chosen' | 'device-lost' | 'interrupted';
      readonly error?: MoshiError;
    };

/** The events of a {@link Microphone} and their arguments. */
export interface MicrophoneEvents {
  state: (state: MicrophoneState) => void;
  muted: (muted: boolean) => void;
  device: (device: AudioDevice | undefined) => void;
  error: (error: MoshiError) => void;
}

/** The user's side of a conversation: a device, a stream of your own, or silence. While it runs, the model's time runs. */
export interface Microphone {
  /**
   * Opens the device and sends what it hears; best in a click. Called again it applies the new options. Rejects with
   * {@link MoshiError} `permission-denied`, `no-device`, `device-busy`, `insecure-page` (a microphone needs https or
   * localhost) or `unsupported`; each message says what to do.
   */
  start(options?: MicrophoneOptions): Promise<void>;
  /** Lets go of the device, and the browser's recording mark goes out. The model stands still unless something else sends sound. */
  stop(): Promise<void>;
  /** Sends silence in place of sound, or no longer. The device stays open and the model goes on. */
  setMuted(muted: boolean): void;
  readonly muted: boolean;
  /** Changes the device without a gap: the old one goes when the new one is open, and stays when that rejects (as `start`). */
  setDevice(deviceId: string | undefined): Promise<void>;
  readonly device: AudioDevice | undefined;
  readonly state: MicrophoneState;
  /** Loudness of this moment, 0 (-60 dBFS or less, or muted) to 1 (0 dBFS). */
  readonly level: number;
  /** Writes loudness by frequency, 0 to 255, from 100 to 8000 Hz, in as many bands as `bands` is long. */
  getByteFrequencyData(bands: Uint8Array): void;
  on<E extends keyof MicrophoneEvents>(event: E, listener: MicrophoneEvents[E]): this;
  off<E extends keyof MicrophoneEvents>(event: E, listener: MicrophoneEvents[E]): this;
}

/** Options of {@link Speaker.start}. */
export interface SpeakerOptions {
  /** Which one, by {@link AudioDevice.id}; default: the system's default. */
  readonly deviceId?: string;
  /** 0 to 1; default 1. */
  readonly volume?: number;
  readonly playout?: Omit<PlayoutOptions, 'sampleRate'>;
}

/** Where the speaker is. `blocked`: the browser wants a click first, see {@link Speaker.resume}. */
export interface SpeakerState {
  readonly status: 'off' | 'starting' | 'playing' | 'blocked' | 'interrupted';
}

/** A whole word of the model, put together from the pieces of event `text`, at the moment it is heard. */
export interface HeardWord {
  readonly text: string;
  /** Seconds of reply audio at its beginning. */
  readonly time: number;
  /** Number of the text it belongs to when it was asked for with `say`. */
  readonly sayId?: number;
}

/** The events of a {@link Speaker} and their arguments. */
export interface SpeakerEvents {
  state: (state: SpeakerState) => void;
  device: (device: AudioDevice | undefined) => void;
  error: (error: MoshiError) => void;
  /** A word of the model is being heard now. */
  word: (word: HeardWord) => void;
  underrun: (event: { readonly missedMs: number }) => void;
  overflow: (event: { readonly droppedMs: number }) => void;
  /** Once a second while it plays. */
  playout: (status: PlayoutStatus) => void;
}

/** Where the listener is on the reply's own clock, the one of `TextEvent.time` and `AudioEvent.time`. */
export interface PlaybackClock {
  /** Seconds of reply audio that leave the loudspeaker now; undefined before the first. Stands still in a gap, never goes back. */
  readonly now: number | undefined;
  /** When (`performance.now()`) this second was heard, or will be if nothing stalls; undefined when it is not here yet, or was dropped. */
  heardAt(time: number): number | undefined;
}

/** The model's side: a jitter buffer and a loudspeaker. */
export interface Speaker {
  /** Plays the model's sound from here on. In a click it always works, else `state` may be `blocked`. Rejects with `bad-option`, `unsupported` or `no-device`. */
  start(options?: SpeakerOptions): Promise<void>;
  stop(): Promise<void>;
  /** Ends `blocked`; only works inside a click or a key press. */
  resume(): Promise<void>;
  /** Where it plays, undefined for the default. Rejects with `unsupported` where the browser lets no page choose. */
  setDevice(deviceId: string | undefined): Promise<void>;
  /** 0 to 1, without clicks. */
  setVolume(volume: number): void;
  readonly volume: number;
  /** Undefined while it is off, and as long as the browser does not tell which one it is. */
  readonly device: AudioDevice | undefined;
  readonly state: SpeakerState;
  /** Loudness of this moment, as {@link Microphone.level}. */
  readonly level: number;
  /** As {@link Microphone.getByteFrequencyData}. */
  getByteFrequencyData(bands: Uint8Array): void;
  /** Fades out what is buffered and forgets it. */
  clear(): void;
  readonly playout: PlayoutStatus;
  readonly clock: PlaybackClock;
  /** The last node before the loudspeaker, for effects of your own; undefined while off and outside of browsers. */
  readonly node: AudioNodeLike | undefined;
  on<E extends keyof SpeakerEvents>(event: E, listener: SpeakerEvents[E]): this;
  off<E extends keyof SpeakerEvents>(event: E, listener: SpeakerEvents[E]): this;
}

/** Options of `session.record`. */
export interface RecordOptions {
  /** Samples a second of the file; default 24 000. */
  readonly sampleRate?: number;
}

/** A recording of both sides that is going on; it ends with the session, and its file can be had afterwards. */
export interface Recording {
  /** Seconds so far. */
  readonly seconds: number;
  /** Ends it: a WAV of 16 bits, left the model as it was heard, right the user. The same file however often it is called. */
  stop(): Promise<Uint8Array<ArrayBuffer>>;
}

/** Options of `connect` about sound. */
export interface AudioOptions {
  /** What microphone and speaker run on. Default: the browser's devices; elsewhere none, and `start` rejects with `unsupported`. */
  readonly platform?: AudioPlatform;
  /** An `AudioContext` of your own to run in; it is then never closed. */
  readonly context?: AudioContextLike;
  /**
   * Where the worklets of this package are served, for pages whose Content-Security-Policy forbids `blob:`: the folder's
   * address, or each file's. Default: built in.
   */
  readonly worklets?: string | { readonly capture: string; readonly playout: string; readonly recorder: string };
  /** Who encodes the microphone: the browser where it is good at it (`auto`, the default), always it, or never. */
  readonly encoder?: 'auto' | 'webcodecs' | 'wasm';
}

/** Figures of a running microphone. */
export interface CaptureMetrics {
  /** Samples a second of the device. */
  readonly sampleRate: number;
  readonly capturedSeconds: number;
  /** Milliseconds from hearing to handing on, of the last block. */
  readonly latencyMs: number;
  readonly muted: boolean;
}

/** What microphone, speaker and recorder see of a session. */
export interface AudioSession {
  readonly state: SessionState;
  /** Queued, bounded and counted, in any state; never throws for a Float32Array. */
  sendAudio(pcm: Float32Array): void;
  on(event: 'audio', listener: (event: AudioEvent) => void): unknown;
  on(event: 'text', listener: (event: TextEvent) => void): unknown;
  on(event: 'say-word', listener: (event: SayWordEvent) => void): unknown;
  on(event: 'new-conversation', listener: () => void): unknown;
}

/** Microphone, speaker and recorder of one session. */
export interface SessionAudio {
  readonly microphone: Microphone;
  readonly speaker: Speaker;
  record(options?: RecordOptions): Promise<Recording>;
  /** `session.interrupt()` was called. */
  interrupted(): void;
  readonly metrics: { readonly capture?: CaptureMetrics; readonly playout?: PlayoutStatus };
  /** The session has closed: lets go of every device. */
  close(): Promise<void>;
}

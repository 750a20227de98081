import type { MoshiError } from '../errors';
import type { PlayoutOptions, PlayoutStatus } from '../playout/types';
import type { AudioDevice, AudioNodeLike, DeviceList, MicrophoneOptions, Recording, RecordOptions } from './types';

/** Which microphone, and what the browser does to its sound. */
export interface InputOptions
  extends Pick<
    MicrophoneOptions,
    'deviceId' | 'echoCancellation' | 'noiseSuppression' | 'autoGainControl' | 'stream' | 'source'
  > {
  readonly muted: boolean;
}

/** Takes what an {@link InputPort} hears. */
export interface InputSink {
  /** Mono samples at the port's rate; the memory is the port's again afterwards. `atMs`: when the last was heard (`performance.now()`). */
  samples(pcm: Float32Array, atMs: number): void;
  /** The device is gone; from here on come zeros, at the same pace. */
  lost(error: MoshiError): void;
  /** The system took the microphone away (a phone call), or gave it back. */
  interrupted(on: boolean): void;
}

/** An open microphone. */
export interface InputPort {
  readonly sampleRate: number;
  readonly device: AudioDevice | undefined;
  /** While muted the sink gets zeros at the same pace: the model's time runs by what it hears. */
  setMuted(muted: boolean): void;
  /** Loudness of this moment, 0 to 1. */
  readonly level: number;
  getByteFrequencyData(bands: Uint8Array): void;
  close(): Promise<void>;
}

/** Which loudspeaker, how loud, and how its jitter buffer plays. */
export interface OutputOptions {
  readonly deviceId?: string;
  readonly volume: number;
  readonly playout: Omit<PlayoutOptions, 'sampleRate'>;
}

/** Where an {@link OutputPort} is on the reply's clock. */
export interface OutputStatus extends PlayoutStatus {
  /** When (`performance.now()`) the sample at `time` is heard, the loudspeaker's own latency included. */
  readonly atMs: number;
}

/** Takes what an {@link OutputPort} tells. */
export interface OutputSink {
  /** About every 50 ms while it is open, and at each change of `state`. */
  status(status: OutputStatus): void;
  state(state: 'playing' | 'blocked' | 'interrupted'): void;
  /** Which device it is, where that is found out only later. */
  device?(device: AudioDevice | undefined): void;
  lost(error: MoshiError): void;
}

/** An open loudspeaker, with the jitter buffer before it. */
export interface OutputPort {
  readonly sampleRate: number;
  readonly device: AudioDevice | undefined;
  readonly node: AudioNodeLike | undefined;
  /** Mono samples at the port's rate that begin at `time` seconds on the reply's clock; the memory is the port's. */
  push(pcm: Float32Array, time: number): void;
  /** Fades out what is buffered and forgets it. */
  clear(): void;
  setVolume(volume: number): void;
  setDevice(deviceId: string | undefined): Promise<void>;
  resume(): Promise<void>;
  readonly level: number;
  getByteFrequencyData(bands: Uint8Array): void;
  close(): Promise<void>;
}

/**
 * What microphone and speaker run on: the browser's Web Audio, a system's sound tools, or a test's fake. Methods reject with
 * {@link MoshiError} `permission-denied`, `no-device`, `device-busy`, `insecure-page` or `unsupported`.
 */
export interface AudioPlatform {
  openInput(options: InputOptions, sink: InputSink): Promise<InputPort>;
  openOutput(options: OutputOptions, sink: OutputSink): Promise<OutputPort>;
  devices(): Promise<DeviceList>;
  /** Calls when devices came or went; returns how to stop that. */
  onDevices(listener: () => void): () => void;
  /** Records both open sides; left out where that cannot be done. */
  record?(options: RecordOptions): Promise<Recording>;
}

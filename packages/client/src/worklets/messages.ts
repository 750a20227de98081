import type { PlayoutOptions, PlayoutStatus } from '../playout/types';

/** What the capture worklet is made with. */
export interface CaptureSetup {
  readonly muted: boolean;
}

/** To the capture worklet. */
export interface CaptureCommand {
  readonly muted?: boolean;
  /** A buffer it sent, to be used again. */
  readonly free?: ArrayBuffer;
  readonly stop?: true;
}

/** From the capture worklet. */
export interface CapturedBlock {
  readonly pcm: ArrayBuffer;
  /** Samples of the context before the end of `pcm`. */
  readonly frame: number;
}

/** What the playout worklet is made with. */
export type PlayoutSetup = Omit<PlayoutOptions, 'sampleRate'>;

/** To the playout worklet. */
export interface PlayoutCommand {
  readonly push?: ArrayBuffer;
  /** Of the first sample of `push`, in seconds on the reply's clock. */
  readonly time?: number;
  readonly clear?: true;
  readonly stop?: true;
}

/** From the playout worklet. */
export interface PlayoutReport {
  /** The sample at `status.time` leaves at this sample of the context. */
  readonly frame: number;
  readonly status: PlayoutStatus;
  /** Buffers it was sent: memory is not to be collected on its thread. */
  readonly free: ArrayBuffer[];
}

/** To the recorder worklet. */
export interface RecorderCommand {
  readonly stop?: true;
}

/** From the recorder worklet: both sides, of one length. */
export interface RecordedBlock {
  readonly model: ArrayBuffer;
  readonly user: ArrayBuffer;
  readonly last: boolean;
}

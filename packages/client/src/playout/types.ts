/** How the jitter buffer plays. All times in milliseconds. */
export interface PlayoutOptions {
  /** Samples a second of what goes in and comes out. */
  readonly sampleRate: number;
  /** Sound that must be there before playing begins; default 80, one frame of the model. */
  readonly startMs?: number;
  /** Waited on top of that at first; default 10. */
  readonly marginMs?: number;
  /** The least the wait adapts to; default 10. */
  readonly minMarginMs?: number;
  /** The most the wait adapts to; default 300. */
  readonly maxMarginMs?: number;
  /** Sound this far above what is aimed at is cut at once, wherever it is; default 1500. */
  readonly hardLimitMs?: number;
}

/** What the jitter buffer holds and has done so far. */
export interface PlayoutStatus {
  /** `empty`: nothing came yet, or it was cleared; `filling`: waits until enough is there; `playing`. */
  readonly state: 'empty' | 'filling' | 'playing';
  /** Seconds of reply audio before the next sample to leave; undefined before the first. */
  readonly time: number | undefined;
  /** Milliseconds that wait to be played. */
  readonly bufferedMs: number;
  /** Milliseconds the buffer aims at: what it starts with and the margin it has adapted. */
  readonly targetMs: number;
  /** Times the sound ran out while playing. */
  readonly underruns: number;
  /** Silence heard because of that. */
  readonly missedMs: number;
  /** Times so much waited that sound had to be cut. */
  readonly overflows: number;
  /** Sound cut because of that. */
  readonly droppedMs: number;
  /** Silence left out to catch up, which nobody hears. */
  readonly trimmedMs: number;
  readonly playedSeconds: number;
}

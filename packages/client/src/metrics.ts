import { SAMPLE_RATE } from '@moshi/protocol';
import type { CaptureMetrics } from './audio/types';
import type { PlayoutStatus } from './playout/types';

/** Figures of one session, since it became ready. */
export interface SessionMetrics {
  /**
   * Microphone time minus reply time: how much of the audio sent has no answer yet, in ms; an exponential average over
   * the audio messages (β 0.85, as the official client shows it). For audio sent in real time this is the latency a
   * speaker notices, without playback. Null until reply audio arrives.
   */
  readonly roundTripMs: number | null;
  /** From the first audio sent to the first reply audio, in ms; null until it arrives. */
  readonly timeToFirstAudioMs: number | null;
  readonly audioSentSeconds: number;
  readonly audioReceivedSeconds: number;
  /** Seconds of silence that a listener without any buffer would have heard since the first reply audio. */
  readonly missedAudioSeconds: number;
  /** Seconds of microphone audio dropped under back-pressure. */
  readonly droppedSeconds: number;
  /** Milliseconds of microphone audio that wait to be sent. */
  readonly bufferedMs: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly audioMessages: number;
  readonly textMessages: number;
  /** Opus packets of the server that came broken or in a broken page. */
  readonly lostPackets: number;
  /** Times the connection was lost and came back; in `resumes` of them the conversation went on. */
  readonly reconnects: number;
  readonly resumes: number;
  /** Of a running microphone. */
  readonly capture?: CaptureMetrics;
  /** Of a running speaker. */
  readonly playout?: PlayoutStatus;
}

const BETA = 0.85;

/** Collects {@link SessionMetrics}; `now` is a clock in ms and is replaced in tests. */
export class MetricsRecorder {
  #sentSamples = 0;
  #receivedSamples = 0;
  /** Samples sent that will never be answered. */
  #forgottenSamples = 0;
  #droppedMs = 0;
  #messagesSent = 0;
  #messagesReceived = 0;
  #audioMessages = 0;
  #textMessages = 0;
  #roundTripMs: number | null = null;
  #firstSentAt: number | null = null;
  #firstAudioMs: number | null = null;
  #playedUntil = 0;
  #missedMs = 0;
  #reconnects = 0;
  #resumes = 0;
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Seconds of reply audio received. */
  get receivedSeconds(): number {
    return this.#receivedSamples / SAMPLE_RATE;
  }

  messageSent(): void {
    this.#messagesSent++;
  }

  messageReceived(type: string): void {
    this.#messagesReceived++;
    if (type === 'audio') this.#audioMessages++;
    else if (type === 'text' || type === 'coloredText') this.#textMessages++;
  }

  audioSent(samples: number): void {
    this.#firstSentAt ??= this.#now();
    this.#sentSamples += samples;
  }

  audioReceived(samples: number): void {
    const now = this.#now();
    if (this.#receivedSamples === 0) {
      if (this.#firstSentAt !== null) this.#firstAudioMs = now - this.#firstSentAt;
      this.#playedUntil = now;
    }
    this.#receivedSamples += samples;
    // An ideal player starts each sample as soon as it is there: what it waits is what a listener misses.
    this.#missedMs += Math.max(0, now - this.#playedUntil);
    this.#playedUntil = Math.max(now, this.#playedUntil) + (samples / SAMPLE_RATE) * 1000;
    const unanswered = Math.max(0, this.#sentSamples - this.#receivedSamples - this.#forgottenSamples);
    const gap = (unanswered / SAMPLE_RATE) * 1000;
    this.#roundTripMs = this.#roundTripMs === null ? gap : BETA * this.#roundTripMs + (1 - BETA) * gap;
  }

  /** The server threw away what it had not answered (a pause, a restart): the round trip counts from here. */
  resync(): void {
    this.#forgottenSamples = this.#sentSamples - this.#receivedSamples;
    this.#roundTripMs = null;
  }

  /** A connection took the place of a lost one, which swallowed so many of the samples sent. */
  reconnected(resumed: boolean, swallowed: number): void {
    this.#reconnects++;
    if (resumed) this.#resumes++;
    this.#forgottenSamples += swallowed;
  }

  dropped(ms: number): number {
    this.#droppedMs += ms;
    return this.#droppedMs;
  }

  snapshot(bufferedMs: number, lostPackets: number): SessionMetrics {
    return {
      roundTripMs: this.#roundTripMs,
      timeToFirstAudioMs: this.#firstAudioMs,
      audioSentSeconds: this.#sentSamples / SAMPLE_RATE,
      audioReceivedSeconds: this.receivedSeconds,
      missedAudioSeconds: this.#missedMs / 1000,
      droppedSeconds: this.#droppedMs / 1000,
      bufferedMs,
      messagesSent: this.#messagesSent,
      messagesReceived: this.#messagesReceived,
      audioMessages: this.#audioMessages,
      textMessages: this.#textMessages,
      lostPackets,
      reconnects: this.#reconnects,
      resumes: this.#resumes,
    };
  }
}

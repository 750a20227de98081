import type { PlayoutStatus, SessionMetrics } from '@moshi/client';

/** The figures of a moment, as the page shows them. */
export interface Figures {
  readonly metrics: SessionMetrics;
  /** Undefined before the loudspeaker plays. */
  readonly playout: PlayoutStatus | undefined;
}

/** How good a figure is; shown in words and a mark, never by colour alone. */
export type Rating = 'good' | 'fair' | 'poor';

/** Milliseconds from what the user says to what he hears of it: the server's answer and the sound held before the loudspeaker. */
export function answerAfterMs({ metrics, playout }: Figures): number | undefined {
  if (metrics.roundTripMs === null) return undefined;
  return Math.max(0, metrics.roundTripMs) + (playout?.bufferedMs ?? 0);
}

export function rateAnswer(ms: number): Rating {
  if (ms < 600) return 'good';
  return ms < 1200 ? 'fair' : 'poor';
}

/** Sound held back evens out the network; much of it is delay. */
export function rateBuffer(ms: number): Rating {
  if (ms <= 250) return 'good';
  return ms <= 600 ? 'fair' : 'poor';
}

/** Seconds that were not heard: gaps of the loudspeaker, and sound cut to catch up. */
export function missedSeconds({ metrics, playout }: Figures): number {
  return playout ? (playout.missedMs + playout.droppedMs) / 1000 : metrics.missedAudioSeconds;
}

export function rateMissed(seconds: number, ofSeconds: number): Rating {
  if (seconds < 0.1) return 'good';
  return seconds / Math.max(1, ofSeconds) < 0.02 ? 'fair' : 'poor';
}

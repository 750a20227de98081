import { connectStream, type SessionMetrics, type StreamOptions } from '@moshi/client';
import { FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import type { Fragment } from './transcript';

/** How {@link holdConversation} goes about it. */
export interface ConversationOptions
  extends Pick<StreamOptions, 'seed' | 'voice' | 'prompt' | 'dialect' | 'insecure' | 'headers'>,
    Pick<
      StreamOptions,
      'textTemperature' | 'textTopK' | 'audioTemperature' | 'audioTopK' | 'signal' | 'handshakeTimeoutMs'
    > {
  /** Steps the model takes before its first frame of audio, where that is known better than from the server's metadata. */
  readonly delayFrames?: () => number | undefined;
  /** Called when the server is ready. */
  readonly onReady?: () => void;
  /** Called with the seconds answered so far. */
  readonly onProgress?: (seconds: number) => void;
}

/** What came back. */
export interface Conversation {
  /** As many samples as went in, 24 kHz mono: what was heard while the input was said. */
  readonly pcm: Float32Array;
  readonly fragments: readonly Fragment[];
  /** What the server said about itself; undefined when it said nothing. */
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  readonly metrics: SessionMetrics | undefined;
}

/** What Opus delays the sound, on the way there and on the way back, in samples at 24 kHz: 2 × 6.5 ms. */
export const CODEC_DELAY_SAMPLES = 312;

/** Nobody listens, so a model that takes its time over a step is only slow. */
const IDLE_MS = 120_000;

/**
 * Plays a recording (24 kHz mono, [-1, 1]) to a server as fast as it answers and lays the reply beside it in time: the
 * steps a model is silent at the start and the codec's delay are evened out. Throws what `connectStream` throws.
 */
export async function holdConversation(
  url: string,
  input: Float32Array,
  options: ConversationOptions = {},
): Promise<Conversation> {
  const { delayFrames, onReady, onProgress, ...stream } = options;
  const parts: { pcm: Float32Array; time: number }[] = [];
  const fragments: Fragment[] = [];
  let metadata: Readonly<Record<string, unknown>> | undefined;
  let metrics: SessionMetrics | undefined;
  for await (const event of connectStream(url, frames(input), { idleTimeoutMs: IDLE_MS, ...stream })) {
    if (event.type === 'audio') {
      parts.push(event);
      onProgress?.(event.time + event.pcm.length / SAMPLE_RATE);
    } else if (event.type === 'text') fragments.push({ text: event.text, time: event.time });
    else if (event.type === 'metadata') metadata = toObject(event.metadata) ?? metadata;
    else if (event.type === 'metrics') metrics = event.metrics;
    else if (event.type === 'state' && event.state.status === 'ready') onReady?.();
  }
  const steps = delayFrames?.() ?? announcedDelay(metadata, options.dialect);
  const shift = steps * FRAME_SAMPLES - CODEC_DELAY_SAMPLES;
  const pcm = new Float32Array(input.length);
  for (const part of parts) lay(part.pcm, pcm, Math.round(part.time * SAMPLE_RATE) + shift);
  const later = (time: number) => Math.max(0, Math.round((time + shift / SAMPLE_RATE) * 1000) / 1000);
  return { pcm, fragments: fragments.map(({ text, time }) => ({ text, time: later(time) })), metadata, metrics };
}

/** The input frame by frame, and one frame of silence that pushes the codec's delay out. */
function* frames(input: Float32Array): Generator<Float32Array> {
  for (let at = 0; at < input.length; at += FRAME_SAMPLES) yield input.subarray(at, at + FRAME_SAMPLES);
  yield new Float32Array(FRAME_SAMPLES);
}

/** PersonaPlex has its delay behind it when its prompts are through; Moshi's first step gives no audio. */
function announcedDelay(metadata: Readonly<Record<string, unknown>> | undefined, wanted?: string): number {
  const details = toObject(metadata?.details)?.delayFrames;
  if (typeof details === 'number' && Number.isInteger(details) && details >= 0 && details < 100) return details;
  const dialect = metadata?.dialect ?? wanted;
  return dialect === 'loopback' || dialect === 'personaplex' ? 0 : 1;
}

function lay(from: Float32Array, to: Float32Array, at: number): void {
  const skip = Math.max(0, -at);
  if (skip >= from.length || at >= to.length) return;
  to.set(from.subarray(skip, Math.min(from.length, to.length - at)), at + skip);
}

function toObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}

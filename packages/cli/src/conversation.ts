import { connectStream, type Session, type SessionMetrics, type StreamOptions } from '@moshi/client';
import { FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import type { Fragment, Said } from './transcript';

/** How {@link holdConversation} goes about it. */
export interface ConversationOptions
  extends Pick<StreamOptions, 'seed' | 'voice' | 'prompt' | 'sayOnly' | 'dialect' | 'insecure' | 'headers'>,
    Pick<
      StreamOptions,
      'textTemperature' | 'textTopK' | 'audioTemperature' | 'audioTopK' | 'signal' | 'handshakeTimeoutMs'
    > {
  /** Steps the model takes before its first frame of audio, where that is known better than from the server's metadata. */
  readonly delayFrames?: () => number | undefined;
  /** What the model is made to speak, in order; what takes longer than the input is waited for, in silence. */
  readonly say?: readonly string[];
  /** Called when the server is ready. */
  readonly onReady?: () => void;
  /** Called with the seconds answered so far. */
  readonly onProgress?: (seconds: number) => void;
}

/** What came back. */
export interface Conversation {
  /** 24 kHz mono, as many samples as went in: what was heard while the input was said, and until everything was spoken. */
  readonly pcm: Float32Array;
  readonly fragments: readonly Fragment[];
  /** What became of each text to be spoken. */
  readonly said: readonly Said[];
  /** What the server said about itself; undefined when it said nothing. */
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  readonly metrics: SessionMetrics | undefined;
}

/** What Opus delays the sound, on the way there and on the way back, in samples at 24 kHz: 2 × 6.5 ms. */
export const CODEC_DELAY_SAMPLES = 312;

/** Text runs ahead of sound: so long the last word may still be heard after its text is through. */
const LAST_WORD_FRAMES = 13;
/** A minute without a word: what was to be spoken will not be. */
const MAX_WAIT_FRAMES = 750;

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
  const { delayFrames, onReady, onProgress, say = [], ...stream } = options;
  const speech = new Speech(say);
  const parts: { pcm: Float32Array; time: number }[] = [];
  const fragments: Fragment[] = [];
  let metadata: Readonly<Record<string, unknown>> | undefined;
  let metrics: SessionMetrics | undefined;
  const onSession = (session: Session) => speech.begin(session);
  const sent = frames(input, speech);
  for await (const event of connectStream(url, sent, { idleTimeoutMs: IDLE_MS, onSession, ...stream })) {
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
  const pcm = new Float32Array(input.length + speech.extraFrames * FRAME_SAMPLES);
  for (const part of parts) lay(part.pcm, pcm, Math.round(part.time * SAMPLE_RATE) + shift);
  const later = (time: number) => Math.max(0, Math.round((time + shift / SAMPLE_RATE) * 1000) / 1000);
  const timed = fragments.map(({ text, time }) => ({ text, time: later(time) }));
  return { pcm, fragments: timed, said: await speech.result(), metadata, metrics };
}

/** The input frame by frame, silence while something is still spoken, and a frame that pushes the codec's delay out. */
function* frames(input: Float32Array, speech: Speech): Generator<Float32Array> {
  for (let at = 0; at < input.length; at += FRAME_SAMPLES) {
    speech.countFrame();
    yield input.subarray(at, at + FRAME_SAMPLES);
  }
  while (speech.needsMore()) {
    speech.countFrame();
    speech.extraFrames++;
    yield new Float32Array(FRAME_SAMPLES);
  }
  yield new Float32Array(FRAME_SAMPLES);
}

/** What the model is made to say in one conversation. */
class Speech {
  readonly #texts: readonly string[];
  #results: Promise<Said>[] = [];
  #pending: number;
  #failed: { error: unknown } | undefined;
  #frames = 0;
  /** The frame at which the last word, or the end of a text, was heard of. */
  #lastAt = 0;
  /** Frames of silence given after the input. */
  extraFrames = 0;

  constructor(texts: readonly string[]) {
    this.#texts = texts;
    this.#pending = texts.length;
  }

  begin(session: Session): void {
    session.on('say-word', () => {
      this.#lastAt = this.#frames;
    });
    this.#results = this.#texts.map(async (asked) => {
      const { text, completed } = await session.say(asked);
      return { asked, spoken: text, completed };
    });
    for (const result of this.#results) {
      result
        .catch((error) => {
          this.#failed ??= { error };
        })
        .finally(() => {
          this.#pending--;
          this.#lastAt = this.#frames;
        });
    }
  }

  /** Counts a frame on its way to the model. Throws what keeps the model from speaking. */
  countFrame(): void {
    if (this.#failed) throw this.#failed.error;
    this.#frames++;
  }

  /** Whether silence is wanted after the input, for what is still to be heard. */
  needsMore(): boolean {
    if (this.#texts.length === 0) return false;
    return this.#frames < this.#lastAt + (this.#pending > 0 ? MAX_WAIT_FRAMES : LAST_WORD_FRAMES);
  }

  result(): Promise<Said[]> {
    return Promise.all(this.#results);
  }
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

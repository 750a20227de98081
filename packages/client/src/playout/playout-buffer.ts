import { ArrivalJitter } from './arrival-jitter';
import { LowWater } from './low-water';
import { resolvePlayout } from './options';
import { isQuiet } from './quiet';
import { SampleStore } from './sample-store';
import type { PlayoutOptions, PlayoutStatus } from './types';

/** A frame is whole without this: a resampler on its way keeps some samples until the next one. */
const HELD_BACK_MS = 5;
/** Ramp at the ends of a gap. */
const FADE_MS = 5;
const CLEAR_FADE_MS = 10;
/** Quiet is left out in pieces of this length, and as much is played between two of them. */
const TRIM_MS = 10;
/** This much more than the margin, for a second, is too much … */
const SURPLUS_MS = 80;
const SURPLUS_WINDOW_MS = 500;
/** … and so is what nothing needed for half a minute, however unevenly sound came. */
const IDLE_SURPLUS_MS = 20;
const IDLE_WINDOW_MS = 20_000;
const UNDERRUN_STEP_MS = 10;
/** What an underrun adds for good: a network that stalled once does it again. */
const LESSON_MS = 5;
const MAX_LESSONS_MS = 80;
const DECAY_MS_PER_MS = 1 / 1000;

/**
 * The jitter buffer between messages that come when they like and a loudspeaker that takes samples all the time. It begins when
 * `startMs` are there and a margin has passed, fades at both ends of a gap, learns the margin from how unevenly sound arrives,
 * and catches up by leaving out what is quiet. It knows no clock but the samples pulled and the `nowMs` given.
 */
export class PlayoutBuffer {
  readonly #rate: number;
  readonly #startMs: number;
  readonly #minMarginMs: number;
  readonly #maxMarginMs: number;
  readonly #hardLimitMs: number;
  readonly #store: SampleStore;
  readonly #jitter = new ArrivalJitter();
  #state: PlayoutStatus['state'] = 'empty';
  #marginMs: number;
  #lessonsMs = 0;
  #lastPushMs: number | undefined;
  /** Samples still to wait until enough that is there is played. */
  #wait: number | undefined;
  /** Samples pulled since the last push. */
  #idle = 0;
  /** What plays is less than a beginning takes, because nothing followed it. */
  #isRemainder = false;
  /** Samples of silence since it ran out; missed when sound follows. */
  #gap = 0;
  /** What still sounds of what is no longer in the store. */
  #tail = new Float32Array(0);
  #fadeIn = 0;
  #last = 0;
  readonly #lately: LowWater;
  readonly #longer: LowWater;
  /** Samples of quiet still to be left out. */
  #surplus = 0;
  #sinceTrim = 0;
  #underruns = 0;
  #missed = 0;
  #overflows = 0;
  #dropped = 0;
  #trimmed = 0;
  #played = 0;

  /** Throws RangeError for a rate or a time that is none. */
  constructor(options: PlayoutOptions) {
    const { sampleRate, startMs, marginMs, minMarginMs, maxMarginMs, hardLimitMs } = resolvePlayout(options);
    this.#rate = sampleRate;
    this.#startMs = startMs;
    this.#minMarginMs = minMarginMs;
    this.#maxMarginMs = Math.max(minMarginMs, maxMarginMs);
    this.#hardLimitMs = hardLimitMs;
    this.#marginMs = Math.min(marginMs, this.#maxMarginMs);
    this.#store = new SampleStore(sampleRate);
    this.#lately = new LowWater(this.#samples(SURPLUS_WINDOW_MS));
    this.#longer = new LowWater(this.#samples(IDLE_WINDOW_MS));
  }

  /** Takes samples that begin at `time` seconds on the reply's clock; `nowMs` is any steady clock. A jump in `time` is no gap. */
  push(pcm: Float32Array, time: number, nowMs: number): void {
    if (pcm.length === 0) return;
    this.#jitter.push(time, nowMs);
    this.#adapt(nowMs);
    this.#store.push(pcm, time);
    this.#idle = 0;
    this.#isRemainder = false;
    if (this.#state === 'empty') this.#state = 'filling';
    const excessMs = this.#ms(this.#store.length) - this.#targetMs;
    if (excessMs > this.#hardLimitMs) this.#overflow(this.#samples(excessMs));
  }

  /** Fills `out` with what is played next, silence where there is nothing. */
  pull(out: Float32Array): void {
    if (this.#state === 'filling') this.#fill(out.length);
    let count = 0;
    if (this.#state === 'playing') {
      this.#catchUp(out.length);
      count = this.#play(out);
    }
    out.fill(0, count);
    this.#playTail(out, 0);
    if (count < out.length && this.#state === 'playing') this.#runDry(out, count);
    if (this.#underruns > 0 && this.#state === 'filling') this.#gap += out.length - count;
    this.#idle += out.length;
  }

  /** Fades out within 10 ms and forgets what is buffered; then it begins as at first. */
  clear(): void {
    if (this.#state === 'playing') {
      const tail = this.#store.peek(this.#samples(CLEAR_FADE_MS)).slice();
      for (let i = 0; i < tail.length; i++) tail[i]! *= 1 - (i + 1) / tail.length;
      this.#tail = tail.length > 0 ? tail : this.#tail;
    }
    this.#store.skip(this.#store.length);
    this.#jitter.clear();
    this.#state = 'empty';
    this.#gap = 0;
    this.#rest();
  }

  get state(): PlayoutStatus['state'] {
    return this.#state;
  }

  /** Samples that will never be heard, so far: whenever it grows, the time of what is played has jumped. */
  get leftOut(): number {
    return this.#trimmed + this.#dropped;
  }

  get status(): PlayoutStatus {
    return {
      state: this.#state,
      time: this.#store.time,
      bufferedMs: this.#ms(this.#store.length),
      targetMs: this.#targetMs,
      underruns: this.#underruns,
      missedMs: this.#ms(this.#missed),
      overflows: this.#overflows,
      droppedMs: this.#ms(this.#dropped),
      trimmedMs: this.#ms(this.#trimmed),
      playedSeconds: this.#played / this.#rate,
    };
  }

  get #targetMs(): number {
    return this.#startMs + this.#marginMs;
  }

  /** The margin rises at once with what is seen of the network, and falls slowly. */
  #adapt(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - (this.#lastPushMs ?? nowMs));
    this.#lastPushMs = nowMs;
    const least = this.#minMarginMs + Math.max(this.#lessonsMs, this.#jitter.ms);
    this.#marginMs = Math.min(this.#maxMarginMs, Math.max(least, this.#marginMs - passedMs * DECAY_MS_PER_MS));
  }

  #fill(block: number): void {
    const waiting = this.#ms(this.#store.length);
    if (waiting === 0) return;
    // The end of a reply may be shorter than what a beginning takes, and nothing follows it.
    this.#isRemainder = waiting < this.#startMs - HELD_BACK_MS;
    if (this.#isRemainder && this.#ms(this.#idle) <= 2 * this.#startMs + this.#maxMarginMs) return;
    // Sound that is late has waited on its way already, and what came in a burst holds the margin.
    this.#wait ??= this.#isRemainder ? 0 : this.#samples(this.#marginMs - this.#jitter.lastMs);
    if (this.#tail.length > 0 || (this.#wait > 0 && waiting < this.#targetMs)) {
      this.#wait -= block;
      return;
    }
    this.#rest();
    this.#state = 'playing';
    this.#fadeIn = this.#samples(FADE_MS);
    this.#missed += this.#gap;
    this.#gap = 0;
  }

  #play(out: Float32Array): number {
    const count = this.#store.take(out);
    const length = this.#samples(FADE_MS);
    for (let i = 0; i < count && this.#fadeIn > 0; i++, this.#fadeIn--) out[i]! *= 1 - this.#fadeIn / length;
    this.#played += count;
    if (count > 0) this.#last = out[count - 1]!;
    return count;
  }

  #runDry(out: Float32Array, count: number): void {
    // What is gone cannot be faded: its last sample is led to zero in its place.
    this.#tail = new Float32Array(this.#samples(FADE_MS));
    for (let i = 0; i < this.#tail.length; i++) this.#tail[i] = this.#last * (1 - (i + 1) / this.#tail.length);
    this.#playTail(out, count);
    this.#state = 'filling';
    // A remainder that was played out says nothing more of the network.
    if (this.#isRemainder) return;
    this.#underruns++;
    this.#lessonsMs = Math.min(MAX_LESSONS_MS, this.#lessonsMs + LESSON_MS);
    this.#marginMs = Math.min(this.#maxMarginMs, this.#marginMs + UNDERRUN_STEP_MS);
  }

  #playTail(out: Float32Array, from: number): void {
    const count = Math.min(this.#tail.length, out.length - from);
    if (count === 0) return;
    for (let i = 0; i < count; i++) out[from + i]! += this.#tail[i]!;
    this.#tail = this.#tail.subarray(count);
  }

  /** Leaves out quiet when even the least that waited lately was more than anything asks for. */
  #catchUp(block: number): void {
    this.#lately.note(this.#store.length, block);
    this.#longer.note(this.#store.length, block);
    this.#sinceTrim += block;
    this.#surplus = this.#findSurplus();
    const piece = this.#samples(TRIM_MS);
    if (this.#surplus < piece || this.#sinceTrim < piece) return;
    const fade = this.#samples(FADE_MS);
    const next = this.#store.peek(piece + fade);
    if (next.length < piece + fade || !isQuiet(next, this.#rate)) return;
    this.#cut(piece);
    this.#surplus -= piece;
    this.#trimmed += piece;
    this.#sinceTrim = 0;
  }

  /** What is too much to begin with is brought down to nothing. */
  #findSurplus(): number {
    const lately = (this.#lately.least ?? 0) - this.#samples(this.#marginMs);
    const longer = (this.#longer.least ?? 0) - this.#samples(this.#minMarginMs + this.#lessonsMs);
    const isTooMuch = lately > this.#samples(SURPLUS_MS) || longer > this.#samples(IDLE_SURPLUS_MS);
    return isTooMuch ? Math.max(lately, longer) : Math.min(this.#surplus, Math.max(lately, longer));
  }

  #overflow(excess: number): void {
    this.#cut(excess);
    this.#overflows++;
    this.#dropped += excess;
  }

  /** Leaves out the next samples; what comes before and after them is blended. */
  #cut(count: number): void {
    this.#store.cut(count, this.#samples(FADE_MS));
    this.#lately.lower(count);
    this.#longer.lower(count);
  }

  /** Between two stretches of playing nothing of the first one holds. */
  #rest(): void {
    this.#wait = undefined;
    this.#lately.clear();
    this.#longer.clear();
    this.#surplus = 0;
    this.#sinceTrim = 0;
  }

  #ms(samples: number): number {
    return (samples / this.#rate) * 1000;
  }

  #samples(ms: number): number {
    return Math.round((ms / 1000) * this.#rate);
  }
}

import { concat, rms } from '@moshi/protocol/audio';

/** What {@link SpeechDetector.push} found out. */
export type SpeechEvent =
  | { readonly type: 'started'; readonly atMs: number }
  /** `pcm` is all that was said, with a little of what came before it; empty unless `keep` was asked for. */
  | { readonly type: 'stopped'; readonly atMs: number; readonly pcm: Float32Array };

/** Options of {@link SpeechDetector}. */
export interface SpeechDetectorOptions {
  /** Samples a second of what is pushed. Default 24 000. */
  readonly sampleRate?: number;
  /** Keep what was said, for a transcript. Default false. */
  readonly keep?: boolean;
  /** Milliseconds of speech that count as a start: less is a click or a breath. Default 160. */
  readonly startMs?: number;
  /** Milliseconds of quiet that count as an end. Default 600. */
  readonly stopMs?: number;
}

/** Times the noise that a sound has to be to count as speech, 12 dB. */
const ABOVE_NOISE = 4;
/** Nothing below -46 dBFS is speech, however quiet the room. */
const QUIETEST = 0.005;
/** Kept from before the start: the first consonant is quieter than the rest of a word. */
const LEAD_MS = 320;
const LONGEST_MS = 30_000;

/** Says when somebody starts and stops to speak, from the energy of the sound alone: simple, and no model to load. */
export class SpeechDetector {
  readonly #options: Required<SpeechDetectorOptions>;
  #noise = QUIETEST;
  #speaking = false;
  /** Milliseconds of sound, or of quiet while speaking, in a row. */
  #run = 0;
  #clock = 0;
  #kept: Float32Array[] = [];
  #keptMs = 0;

  constructor(options: SpeechDetectorOptions = {}) {
    this.#options = { sampleRate: 24_000, keep: false, startMs: 160, stopMs: 600, ...options };
  }

  /** Whether somebody is speaking now. */
  get speaking(): boolean {
    return this.#speaking;
  }

  /** Takes the next samples in [-1, 1], best 10 to 100 ms at a time; they are copied only with `keep`. */
  push(pcm: Float32Array): SpeechEvent | undefined {
    const ms = (pcm.length / this.#options.sampleRate) * 1000;
    const level = rms(pcm);
    const loud = level > Math.max(QUIETEST, this.#noise * ABOVE_NOISE);
    // The noise is what there is while nobody speaks; it follows down at once and up slowly.
    if (!loud || level < this.#noise) this.#noise += (level - this.#noise) * (level < this.#noise ? 0.5 : 0.05);
    this.#clock += ms;
    this.#run = loud !== this.#speaking ? this.#run + ms : 0;
    this.#keep(pcm, ms);
    if (!this.#speaking && this.#run >= this.#options.startMs)
      return this.#turn({ type: 'started', atMs: this.#clock - this.#run });
    if (this.#speaking && (this.#run >= this.#options.stopMs || this.#keptMs >= LONGEST_MS)) {
      return this.end();
    }
    return undefined;
  }

  /** The sound is over: who was still speaking has stopped. */
  end(): SpeechEvent | undefined {
    if (!this.#speaking) return undefined;
    return this.#turn({ type: 'stopped', atMs: this.#clock - this.#run, pcm: concat(this.#kept) });
  }

  #turn(event: SpeechEvent): SpeechEvent {
    this.#speaking = event.type === 'started';
    this.#run = 0;
    if (!this.#speaking) {
      this.#kept = [];
      this.#keptMs = 0;
    }
    return event;
  }

  #keep(pcm: Float32Array, ms: number): void {
    if (!this.#options.keep) return;
    this.#kept.push(pcm.slice());
    this.#keptMs += ms;
    while (!this.#speaking && this.#keptMs > LEAD_MS + this.#run && this.#kept.length > 1) {
      this.#keptMs -= (this.#kept.shift()!.length / this.#options.sampleRate) * 1000;
    }
  }
}

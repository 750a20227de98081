import { SAMPLE_RATE } from '@moshi/protocol';
import { Resampler } from '@moshi/protocol/audio';

/** Brings a microphone's samples to the model's rate, whatever devices they come from one after the other. */
export class ResampledInput {
  readonly #sink: (pcm: Float32Array) => void;
  #resampler: Resampler | undefined;

  constructor(sink: (pcm: Float32Array) => void) {
    this.#sink = sink;
  }

  push(pcm: Float32Array, sampleRate: number): void {
    if (this.#resampler?.from !== sampleRate) {
      this.flush();
      this.#resampler = new Resampler(sampleRate, SAMPLE_RATE);
    }
    this.#give(this.#resampler.push(pcm));
  }

  /** Gives what the filter still holds: nothing follows, or another device. */
  flush(): void {
    if (this.#resampler) this.#give(this.#resampler.flush());
    this.#resampler = undefined;
  }

  #give(pcm: Float32Array): void {
    if (pcm.length > 0) this.#sink(pcm);
  }
}

/** Brings the model's samples to a loudspeaker's rate, and each piece's time with it. */
export class ResampledOutput {
  readonly #sink: (pcm: Float32Array, time: number) => void;
  readonly #resampler: Resampler;
  #begin = 0;
  #taken = 0;
  #given = 0;

  constructor(sampleRate: number, sink: (pcm: Float32Array, time: number) => void) {
    this.#sink = sink;
    this.#resampler = new Resampler(SAMPLE_RATE, sampleRate);
  }

  /** Samples at 24 kHz that begin at `time` seconds on the reply's clock. */
  push(pcm: Float32Array, time: number): void {
    const expected = this.#begin + this.#taken / SAMPLE_RATE;
    // A jump of less than a sample is arithmetic.
    if (Math.abs(time - expected) > 1 / SAMPLE_RATE) {
      this.#give(this.#resampler.flush());
      this.#begin = time;
      this.#taken = this.#given = 0;
    }
    this.#taken += pcm.length;
    this.#give(this.#resampler.push(pcm));
  }

  #give(pcm: Float32Array): void {
    if (pcm.length === 0) return;
    const time = this.#begin + this.#given / this.#resampler.to;
    this.#given += pcm.length;
    this.#sink(pcm, time);
  }
}

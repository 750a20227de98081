import { HIGHEST_HZ, LOWEST_HZ } from './bands';
import { loudness } from './loudness';

/** What one look at the spectrum is made of: about 40 ms at 24 kHz. */
const WINDOW = 1024;
/** 0 and 255 of a band, as in browsers. */
const QUIETEST_DB = -100;
const LOUDEST_DB = -30;

/** Level and spectrum of the sound that passes, for an {@link AudioPlatform} that has no meters of its own. */
export class SoundMeter {
  readonly #sampleRate: number;
  /** The last samples, the newest at `#at` - 1. */
  readonly #ring = new Float32Array(WINDOW);
  #at = 0;

  /** Samples a second of what is pushed. */
  constructor(sampleRate: number) {
    this.#sampleRate = sampleRate;
  }

  /** Takes mono samples in [-1, 1]. */
  push(pcm: Float32Array): void {
    for (const sample of pcm.subarray(-WINDOW)) {
      this.#ring[this.#at] = sample;
      this.#at = (this.#at + 1) % WINDOW;
    }
  }

  /** Forgets what passed: from here on it shows silence. */
  clear(): void {
    this.#ring.fill(0);
  }

  /** Loudness of the last 40 ms, 0 (-60 dBFS or less) to 1 (0 dBFS). */
  get level(): number {
    return loudness(this.#ring);
  }

  /** Writes loudness by frequency, 0 to 255, from 100 to 8000 Hz, in as many bands as `bands` is long. */
  getByteFrequencyData(bands: Uint8Array): void {
    const windowed = this.#windowed();
    const width = (HIGHEST_HZ - LOWEST_HZ) / bands.length;
    for (let band = 0; band < bands.length; band++) {
      const middle = LOWEST_HZ + (band + 0.5) * width;
      const db = 20 * Math.log10(strength(windowed, middle / this.#sampleRate));
      const share = (db - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB);
      bands[band] = Math.round(255 * Math.max(0, Math.min(1, share)));
    }
  }

  /** In order, under a Hann window. */
  #windowed(): Float32Array {
    return Float32Array.from(
      { length: WINDOW },
      (_, i) => this.#ring[(this.#at + i) % WINDOW]! * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW)),
    );
  }
}

/** Amplitude of one frequency, in parts of the sample rate (Goertzel), where a browser's analyser would have it. */
function strength(samples: Float32Array, frequency: number): number {
  const factor = 2 * Math.cos(2 * Math.PI * frequency);
  let [last, before] = [0, 0];
  for (const sample of samples) [last, before] = [sample + factor * last - before, last];
  return Math.sqrt(Math.max(0, last * last + before * before - factor * last * before)) / samples.length;
}

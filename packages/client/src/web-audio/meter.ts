import { HIGHEST_HZ, LOWEST_HZ } from '../audio/bands';
import { loudness } from '../audio/loudness';

/** About 20 ms of sound. */
const LEVEL_SAMPLES = 1024;

/** Level and spectrum of what passes a node. */
export class Meter {
  readonly #analyser: AnalyserNode;
  readonly #samples = new Float32Array(LEVEL_SAMPLES);
  readonly #bins: Uint8Array<ArrayBuffer>;

  constructor(context: AudioContext) {
    this.#analyser = new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0.5 });
    this.#bins = new Uint8Array(this.#analyser.frequencyBinCount);
  }

  /** What is to be measured goes through it. */
  get node(): AnalyserNode {
    return this.#analyser;
  }

  get level(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    return loudness(this.#samples);
  }

  getByteFrequencyData(bands: Uint8Array): void {
    this.#analyser.getByteFrequencyData(this.#bins);
    const binHz = this.#analyser.context.sampleRate / this.#analyser.fftSize;
    const width = (HIGHEST_HZ - LOWEST_HZ) / bands.length;
    for (let band = 0; band < bands.length; band++) {
      const first = Math.round((LOWEST_HZ + band * width) / binHz);
      const end = Math.max(first + 1, Math.round((LOWEST_HZ + (band + 1) * width) / binHz));
      bands[band] = this.#bins.subarray(first, end).reduce((most, bin) => Math.max(most, bin), 0);
    }
  }
}

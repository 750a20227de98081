import { concat } from './concat';

/** Zero crossings of the sinc on each side: with the window below, 0.94 kHz of transition at 24 kHz. */
const CROSSINGS = 64;
/** Kaiser's β: 80 dB of stop band. */
const BETA = 8;
/** Points of the kernel table between two zero crossings; read by linear interpolation. */
const DENSITY = 512;
/** The middle of the transition band, in parts of the lower of both Nyquist frequencies; aliases stay 80 dB down. */
const CUTOFF = 0.96;
/** Filter taps kept in memory at most; rates with an odd ratio work them out anew for every sample. */
const CACHED_TAPS = 1 << 21;

/**
 * Changes the sample rate of a whole signal by windowed-sinc interpolation, without delay: sample n of the input is at the same
 * time in the output. Returns `ceil(length * to / from)` samples. Rates are whole numbers of Hz; throws RangeError otherwise.
 */
export function resample(pcm: Float32Array, from: number, to: number): Float32Array {
  if (from === to) return pcm.slice();
  const resampler = new Resampler(from, to);
  return concat([resampler.push(pcm), resampler.flush()]);
}

/**
 * Changes the sample rate of a signal that comes in pieces, with the result of {@link resample} to the last bit however it is
 * cut. What comes out lags behind by 67 samples of the lower rate (8 ms at 8 kHz), which `flush` gives at the end.
 */
export class Resampler {
  readonly #phases: number;
  readonly #step: number;
  readonly #taps: (phase: number) => Taps;
  /** Input from sample `#start` on that later output still needs. */
  #input = new Float32Array(0);
  #start = 0;
  #received = 0;
  #made = 0;

  /** Rates are whole numbers of Hz; throws RangeError otherwise. */
  constructor(
    readonly from: number,
    readonly to: number,
  ) {
    for (const rate of [from, to]) {
      if (!Number.isInteger(rate) || rate < 1) throw new RangeError(`a sample rate of ${rate} Hz cannot be resampled`);
    }
    const divisor = gcd(from, to);
    // Output sample n stands at input position n * step / phases.
    this.#phases = to / divisor;
    this.#step = from / divisor;
    this.#taps = makeTaps(this.#phases, Math.min(1, to / from) * CUTOFF);
  }

  /** Takes samples, any number of them, and gives those of the other rate that are certain now. */
  push(pcm: Float32Array): Float32Array {
    if (this.from === this.to) return pcm.slice();
    this.#input = concat([this.#input, pcm]);
    this.#received += pcm.length;
    let last = this.#made;
    // Samples whose whole kernel lies within what has come.
    while (this.#reach(last) <= this.#received) last++;
    const out = this.#make(last);
    this.#forget();
    return out;
  }

  /** The last samples, as if silence followed; then the next `push` begins another signal. */
  flush(): Float32Array {
    if (this.from === this.to) return new Float32Array(0);
    const out = this.#make(Math.ceil((this.#received * this.to) / this.from));
    this.#input = new Float32Array(0);
    this.#start = this.#received = this.#made = 0;
    return out;
  }

  /** One past the last input sample that output sample n is made of. */
  #reach(n: number): number {
    const position = n * this.#step;
    const { first, weights } = this.#taps(position % this.#phases);
    return Math.floor(position / this.#phases) + first + weights.length;
  }

  #make(end: number): Float32Array {
    const out = new Float32Array(Math.max(0, end - this.#made));
    for (let n = 0; n < out.length; n++) {
      const position = (this.#made + n) * this.#step;
      const { first, weights } = this.#taps(position % this.#phases);
      const begin = Math.floor(position / this.#phases) + first;
      const skip = Math.max(0, -begin);
      const at = begin + skip - this.#start;
      const count = Math.min(weights.length - skip, this.#input.length - at);
      let sum = 0;
      for (let i = 0; i < count; i++) sum += this.#input[at + i]! * weights[skip + i]!;
      out[n] = sum;
    }
    this.#made += out.length;
    return out;
  }

  #forget(): void {
    const position = this.#made * this.#step;
    const needed = Math.floor(position / this.#phases) + this.#taps(position % this.#phases).first;
    // One sample of slack: kernels of neighbouring phases begin at most one apart.
    const drop = Math.max(0, needed - 1 - this.#start);
    this.#input = this.#input.slice(drop);
    this.#start += drop;
  }
}

/** Weights for input samples `centre + first` and on. */
interface Taps {
  readonly first: number;
  readonly weights: Float64Array;
}

/** `bandwidth` is the cutoff in parts of the input's Nyquist frequency. */
function makeTaps(phases: number, bandwidth: number): (phase: number) => Taps {
  const reach = CROSSINGS / bandwidth;
  const table = kernelTable();
  const kept: (Taps | undefined)[] = phases * reach * 2 <= CACHED_TAPS ? new Array(phases) : [];
  const compute = (phase: number): Taps => {
    const fraction = phase / phases;
    const first = Math.ceil(fraction - reach);
    const weights = new Float64Array(Math.floor(fraction + reach) - first + 1);
    let sum = 0;
    for (let i = 0; i < weights.length; i++) {
      const at = Math.abs(first + i - fraction) * bandwidth * DENSITY;
      const left = Math.floor(at);
      const weight = table[left]! + (table[left + 1]! - table[left]!) * (at - left);
      weights[i] = weight;
      sum += weight;
    }
    // Every phase passes a constant signal unchanged: no tone at the phase rate.
    for (let i = 0; i < weights.length; i++) weights[i]! /= sum;
    return { first, weights };
  };
  return (phase) => {
    const known = kept[phase];
    if (known) return known;
    const taps = compute(phase);
    if (kept.length > 0) kept[phase] = taps;
    return taps;
  };
}

let cachedTable: Float64Array | undefined;

/** One side of the windowed sinc, from its middle to its last zero crossing and two points of zero beyond. */
function kernelTable(): Float64Array {
  if (cachedTable) return cachedTable;
  const points = CROSSINGS * DENSITY;
  const table = new Float64Array(points + 2);
  const scale = besselI0(BETA);
  for (let i = 0; i < points; i++) {
    const x = i / DENSITY;
    const sinc = i === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
    table[i] = (sinc * besselI0(BETA * Math.sqrt(1 - (x / CROSSINGS) ** 2))) / scale;
  }
  cachedTable = table;
  return table;
}

function besselI0(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

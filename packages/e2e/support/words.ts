import { rms } from '@moshi/protocol/audio';

/** Samples a second of everything here. */
const RATE = 24_000;
/** A window of the loudness that is compared: 10 ms. */
const WINDOW = RATE / 100;
/** Louder is speech: -40 dBFS. */
const SPEECH = 0.01;
/** Pauses shorter than this belong to the word around them. */
const SHORTEST_PAUSE = 8;

/** What 10 ms later or earlier than the word before cost in likeness. */
const LAG_CHANGE = 0.005;

/** A stretch of speech between two pauses, in windows of 10 ms. */
export interface Word {
  readonly begin: number;
  readonly end: number;
}

/** One word of the source, and where it was heard. */
export interface HeardAt extends Word {
  /** Milliseconds later than it was said. */
  readonly lagMs: number;
  /** How alike its loudness is over time: up to 1. */
  readonly likeness: number;
}

/** Stretches of speech in 24 kHz mono sound. */
export function wordsIn(pcm: Float32Array): Word[] {
  const loud = Array.from(loudness(pcm), (level) => level > SPEECH);
  const words: { begin: number; end: number }[] = [];
  for (const [at, isLoud] of loud.entries()) {
    if (!isLoud) continue;
    const last = words.at(-1);
    if (last && at - last.end < SHORTEST_PAUSE) last.end = at + 1;
    else words.push({ begin: at, end: at + 1 });
  }
  return words.filter(({ begin, end }) => end - begin >= 6);
}

/**
 * Looks for each word of `said` in `heard`, both 24 kHz mono from the same moment on: up to `maxLagMs` late (default 2000)
 * and in order. What fits best in all is taken, where words come as late as the one before: a word with a gap in it is alike to
 * many, and must not send those behind it astray.
 */
export function findWords(said: Float32Array, heard: Float32Array, { maxLagMs = 2000 } = {}): HeardAt[] {
  const [source, target] = [loudness(said), loudness(heard)];
  const words = wordsIn(said);
  const lags = Math.floor(maxLagMs / 10) + 1;
  const alike = words.map(({ begin, end }) => likenesses(source, target, begin, end, lags));
  /** Of each word and lag: the best sum up to here, and the lag of the word before that belongs to it. */
  const sums: Float64Array[] = [];
  const befores: Int32Array[] = [];
  for (const [n, word] of words.entries()) {
    const sum = Float64Array.from(alike[n]!);
    const before = new Int32Array(lags);
    for (let lag = 0; n > 0 && lag < lags; lag++) {
      const latest = Math.min(lags - 1, lag + word.begin - words[n - 1]!.end + SHORTEST_PAUSE);
      let best = Number.NEGATIVE_INFINITY;
      for (let earlier = 0; earlier <= latest; earlier++) {
        const total = sums[n - 1]![earlier]! - LAG_CHANGE * Math.abs(lag - earlier);
        if (total > best) [best, before[lag]] = [total, earlier];
      }
      sum[lag]! += best;
    }
    sums.push(sum);
    befores.push(before);
  }
  const found: HeardAt[] = [];
  let lag = highest(sums.at(-1) ?? new Float64Array());
  for (let n = words.length - 1; n >= 0; n--) {
    found.unshift({ ...words[n]!, lagMs: lag * 10, likeness: alike[n]![lag]! });
    lag = befores[n]![lag]!;
  }
  return found;
}

/**
 * How much was heard for what was said: the sum of the loudness over time of one for that of the other. What is heard twice
 * makes it more and what is lost less, wherever they fall; Opus alone makes it some 0.975 of speech.
 */
export function shareHeard(said: Float32Array, heard: Float32Array): number {
  const sum = (pcm: Float32Array) => loudness(pcm).reduce((all, level) => all + level, 0);
  return sum(heard) / sum(said);
}

/** Seconds louder than -40 dBFS, with short pauses: a rough figure, as speech has many moments about that loud. */
export function speechSeconds(pcm: Float32Array): number {
  return wordsIn(pcm).reduce((sum, { begin, end }) => sum + (end - begin) / 100, 0);
}

function loudness(pcm: Float32Array): Float64Array {
  return Float64Array.from({ length: Math.floor(pcm.length / WINDOW) }, (_, n) =>
    rms(pcm.subarray(n * WINDOW, (n + 1) * WINDOW)),
  );
}

/** How alike a word is to what was heard 0, 10, 20… ms after it was said. */
function likenesses(said: Float64Array, heard: Float64Array, begin: number, end: number, lags: number): Float64Array {
  // A little of the pauses around it says where it begins and ends.
  const from = Math.max(0, begin - 4);
  const piece = said.subarray(from, end + 4);
  return Float64Array.from({ length: lags }, (_, lag) =>
    correlation(piece, heard.subarray(from + lag, from + lag + piece.length)),
  );
}

function highest(values: Float64Array): number {
  return values.reduce((best, value, at) => (value > values[best]! ? at : best), 0);
}

function correlation(a: Float64Array, b: Float64Array): number {
  if (b.length < a.length) return -1;
  const mean = (x: Float64Array) => x.reduce((sum, value) => sum + value, 0) / x.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [both, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    both += (a[i]! - ma) * (b[i]! - mb);
    aa += (a[i]! - ma) ** 2;
    bb += (b[i]! - mb) ** 2;
  }
  return aa === 0 || bb === 0 ? 0 : both / Math.sqrt(aa * bb);
}

import { rms } from '@moshi/protocol/audio';

/** Samples a second of everything here. */
const RATE = 24_000;
/** A window of the loudness that is compared: 10 ms. */
const WINDOW = RATE / 100;
/** Louder is speech: -40 dBFS. */
const SPEECH = 0.01;
/** Pauses shorter than this belong to the word around them. */
const SHORTEST_PAUSE = 8;

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
 * Looks for each word of `said` in `heard`, both 24 kHz mono from the same moment on: where its loudness fits best, up to
 * `maxLagMs` late (default 2000) and not before the word in front of it.
 */
export function findWords(said: Float32Array, heard: Float32Array, { maxLagMs = 2000 } = {}): HeardAt[] {
  const [source, target] = [loudness(said), loudness(heard)];
  let earliest = 0;
  return wordsIn(said).map((word) => {
    // A little of the pauses around it says where it begins and ends.
    const begin = Math.max(0, word.begin - 4);
    const piece = source.subarray(begin, word.end + 4);
    let best = { lag: 0, likeness: -1 };
    for (let lag = Math.max(0, earliest - begin); lag <= maxLagMs / 10; lag++) {
      const likeness = correlation(piece, target.subarray(begin + lag, begin + lag + piece.length));
      if (likeness > best.likeness) best = { lag, likeness };
    }
    earliest = word.end + best.lag - SHORTEST_PAUSE;
    return { ...word, lagMs: best.lag * 10, likeness: best.likeness };
  });
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

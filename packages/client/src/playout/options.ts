import type { PlayoutOptions } from './types';

/** Options with nothing left open. Throws RangeError for a rate or a time that is none. */
export function resolvePlayout(options: PlayoutOptions): Required<PlayoutOptions> {
  const { sampleRate, startMs = 80, minMarginMs = 10, maxMarginMs = 300, hardLimitMs = 1500 } = options;
  const { marginMs = Math.max(10, minMarginMs) } = options;
  if (!(sampleRate >= 1000)) throw new RangeError(`a sample rate of ${sampleRate} Hz cannot be played`);
  const times = { startMs, marginMs, minMarginMs, maxMarginMs, hardLimitMs };
  for (const [name, value] of Object.entries(times)) {
    if (!(value >= 0 && value <= 60_000)) throw new RangeError(`${name} is ${value}; it must be 0 to 60000 ms`);
  }
  return { sampleRate, ...times };
}

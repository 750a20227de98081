/** What `setTimeout` returns, in Node and in browsers. */
export type Timer = ReturnType<typeof setTimeout>;

/** The most a timer holds; one of more runs at once. */
export const LONGEST_MS = 2 ** 31 - 1;

/** A timeout of `ms` milliseconds; 0, and more than a timer can hold, mean never. */
export function startTimer(callback: () => void, ms: number): Timer | undefined {
  return ms > 0 && ms <= LONGEST_MS ? setTimeout(callback, ms) : undefined;
}

/** Resolves after so many milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

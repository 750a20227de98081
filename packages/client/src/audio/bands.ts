/** What the bands of a spectrum cover, in Hz: where speech is. */
export const LOWEST_HZ = 100;
export const HIGHEST_HZ = 8000;

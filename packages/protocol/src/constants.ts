/** Samples per second of all PCM in this project: mono Float32 in [-1, 1]. */
export const SAMPLE_RATE = 24000;
/** Samples in one frame at {@link SAMPLE_RATE}: what the models read and write per step. */
export const FRAME_SAMPLES = 1920;
/** Milliseconds of one frame; 12.5 frames make a second. */
export const FRAME_MS = 80;

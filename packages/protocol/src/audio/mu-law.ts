/** What is added to a magnitude before it is cut into chords, in 14-bit steps times 4. */
const BIAS = 0x84;
/** The largest magnitude, in 16-bit steps; what is louder is cut. */
const CLIP = 32_635;

/** Samples of the 256 codes. */
const decoded = Float32Array.from({ length: 256 }, (_, byte) => {
  const code = ~byte & 0xff;
  const magnitude = (((code & 0x0f) << 3) + BIAS) << ((code >> 4) & 7);
  return (code & 0x80 ? BIAS - magnitude : magnitude - BIAS) / 0x8000;
});

function encodeSample(sample: number): number {
  // NaN becomes silence.
  const value = Math.round((sample || 0) * 0x8000);
  const magnitude = Math.min(CLIP, Math.abs(value)) + BIAS;
  const chord = 31 - Math.clz32(magnitude) - 7;
  const code = (value < 0 ? 0x80 : 0) | (chord << 4) | ((magnitude >> (chord + 3)) & 0x0f);
  return ~code & 0xff;
}

/** G.711 µ-law, the sound of telephones: one byte a sample, 8000 of them a second. */
export const muLaw = {
  /** Bytes of samples in [-1, 1]; what is louder is cut. */
  encode(pcm: Float32Array): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(pcm, encodeSample);
  },
  /** Samples in [-1, 1] of bytes. */
  decode(bytes: Uint8Array): Float32Array<ArrayBuffer> {
    return Float32Array.from(bytes, (byte) => decoded[byte]!);
  },
};

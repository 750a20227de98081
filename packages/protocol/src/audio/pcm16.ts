/** 16-bit little-endian PCM, as most speech services send it. */
export const pcm16 = {
  /** Bytes of samples in [-1, 1]; what is louder is cut, NaN becomes silence. */
  encode(pcm: Float32Array): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(2 * pcm.length);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < pcm.length; i++) {
      const value = Math.round((pcm[i] || 0) * 0x8000);
      view.setInt16(2 * i, Math.max(-0x8000, Math.min(0x7fff, value)), true);
    }
    return bytes;
  },
  /** Samples in [-1, 1] of bytes; a last odd byte is left out. */
  decode(bytes: Uint8Array): Float32Array<ArrayBuffer> {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Float32Array.from({ length: bytes.length >> 1 }, (_, i) => view.getInt16(2 * i, true) / 0x8000);
  },
};

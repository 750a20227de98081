/** Pieces of sound one after the other, as one new array; the pieces stay what they are. */
export function concat(pieces: Iterable<Float32Array>): Float32Array<ArrayBuffer> {
  const all = [...pieces];
  const out = new Float32Array(all.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of all) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

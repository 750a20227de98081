/** Codes of one recording: the tokens of Mimi's codebooks, frame by frame. */
export interface CodesFile {
  /** Codebooks, 1 to 256. */
  readonly codebooks: number;
  /** Frames of 80 ms. */
  readonly frames: number;
  /** [codebooks, frames], row-major; each 0 to 65 535. */
  readonly codes: Int32Array;
}

/** A codes file cannot be read; the message is one line and names the cure. */
export class CodesError extends Error {
  override readonly name = 'CodesError';
}

const MAGIC = [0x4d, 0x49, 0x4d, 0x49];
const VERSION = 1;
const HEADER_BYTES = 12;
const MAX_CODEBOOKS = 256;

/**
 * Writes a codes file, all little-endian: `MIMI`, version u16 (1), codebooks u16, frames u32, then one u16 for each code,
 * [codebooks, frames] row-major. Throws RangeError when sizes do not fit or a code is no u16.
 */
export function writeCodes({ codebooks, frames, codes }: CodesFile): Uint8Array {
  if (!Number.isInteger(codebooks) || codebooks < 1 || codebooks > MAX_CODEBOOKS) {
    throw new RangeError(`${codebooks} codebooks: a codes file holds 1 to ${MAX_CODEBOOKS}`);
  }
  if (!Number.isInteger(frames) || frames < 0 || codes.length !== codebooks * frames) {
    throw new RangeError(`${codes.length} codes are not ${codebooks} codebooks of ${frames} frames`);
  }
  const bytes = new Uint8Array(HEADER_BYTES + codes.length * 2);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint16(4, VERSION, true);
  view.setUint16(6, codebooks, true);
  view.setUint32(8, frames, true);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]!;
    if (code < 0 || code > 0xffff) throw new RangeError(`code ${code} does not fit in 16 bits`);
    view.setUint16(HEADER_BYTES + i * 2, code, true);
  }
  return bytes;
}

/** Reads what {@link writeCodes} wrote. Throws {@link CodesError} unless the file is exactly that. */
export function readCodes(bytes: Uint8Array): CodesFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cure = 'make one with: moshi encode IN.wav OUT.codes';
  if (bytes.length < HEADER_BYTES || !MAGIC.every((byte, i) => bytes[i] === byte)) {
    throw new CodesError(`this is not a codes file: ${cure}`);
  }
  const version = view.getUint16(4, true);
  if (version !== VERSION) throw new CodesError(`this codes file has version ${version}, known is ${VERSION}: ${cure}`);
  const codebooks = view.getUint16(6, true);
  const frames = view.getUint32(8, true);
  if (codebooks < 1 || codebooks > MAX_CODEBOOKS) {
    throw new CodesError(
      `this codes file says it has ${codebooks} codebooks, possible are 1 to ${MAX_CODEBOOKS}: ${cure}`,
    );
  }
  const expected = HEADER_BYTES + codebooks * frames * 2;
  if (bytes.length !== expected) {
    throw new CodesError(`this codes file has ${bytes.length} bytes in place of ${expected}: it is damaged, ${cure}`);
  }
  const codes = new Int32Array(codebooks * frames);
  for (let i = 0; i < codes.length; i++) codes[i] = view.getUint16(HEADER_BYTES + i * 2, true);
  return { codebooks, frames, codes };
}

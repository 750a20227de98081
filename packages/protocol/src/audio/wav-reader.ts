/** A WAV file cannot be read; the message is one line and names the cure. */
export class WavError extends Error {
  override readonly name = 'WavError';
}

/** What a WAV file holds, mixed to mono. */
export interface WavAudio {
  /** Samples a second, 8000 to 192 000. */
  readonly sampleRate: number;
  /** Channels of the file, before the mix. */
  readonly channels: number;
  /** Bits of one sample in the file. */
  readonly bits: number;
  /** Whether the file's samples are integers or floating point. */
  readonly format: 'pcm' | 'float';
  /** The mean of the channels, in [-1, 1]; NaN in the file becomes silence. */
  readonly pcm: Float32Array;
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
/** The last 14 bytes of the sub-format GUIDs that stand for plain format numbers. */
const GUID_TAIL = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
const MIN_RATE = 8000;
const MAX_RATE = 192_000;
const CURE = 'convert it, for example with: ffmpeg -i IN -c:a pcm_s16le OUT.wav';

interface Layout {
  readonly format: 'pcm' | 'float';
  readonly channels: number;
  readonly sampleRate: number;
  readonly bits: number;
  /** Bytes of one sample of one channel; can be more than the bits need, which then stand at the top. */
  readonly container: number;
}

/**
 * Reads a WAV file: PCM of 8, 16, 24 or 32 bits, float of 32 or 64, plain or EXTENSIBLE, RIFF or RF64, any number of
 * channels. Cut-off files and the endless sizes of streamed ones are read as far as they go.
 * Throws {@link WavError} for anything that is not such a file.
 */
export function readWav(bytes: Uint8Array): WavAudio {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const id = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || !/^(RIFF|RF64|BW64)$/.test(id(0)) || id(8) !== 'WAVE') {
    throw new WavError(`this is not a WAV file${id(0) === 'RIFX' ? ' of the usual byte order' : ''}: ${CURE}`);
  }
  let layout: Layout | undefined;
  let bigDataSize: number | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = id(at);
    const announced = view.getUint32(at + 4, true);
    const start = at + 8;
    const size = name === 'data' && announced === 0xffffffff ? (bigDataSize ?? announced) : announced;
    const end = Math.min(bytes.length, start + size);
    if (name === 'ds64' && end - start >= 16) bigDataSize = Number(view.getBigUint64(start + 8, true));
    if (name === 'fmt ') layout = readFormat(new DataView(bytes.buffer, bytes.byteOffset + start, end - start));
    if (name === 'data') {
      if (!layout) throw new WavError(`this WAV file has its sound before its format: ${CURE}`);
      // A recorder that was killed leaves its sizes as if nothing followed: what follows is the sound.
      const last = size === 0 && view.getUint32(4, true) + 8 <= start ? bytes.length : end;
      const { channels, sampleRate, bits, format } = layout;
      return { sampleRate, channels, bits, format, pcm: mixDown(view, start, last, layout) };
    }
    at = start + size + (size & 1);
  }
  throw new WavError(
    layout ? 'this WAV file has no sound in it (no data chunk)' : `this WAV file has no format: ${CURE}`,
  );
}

function readFormat(view: DataView): Layout {
  if (view.byteLength < 16) throw new WavError(`the format of this WAV file is cut short: ${CURE}`);
  let tag = view.getUint16(0, true);
  const channels = view.getUint16(2, true);
  const sampleRate = view.getUint32(4, true);
  const blockAlign = view.getUint16(12, true);
  const bits = view.getUint16(14, true);
  if (tag === EXTENSIBLE) {
    const isPlain = view.byteLength >= 40 && GUID_TAIL.every((byte, i) => view.getUint8(26 + i) === byte);
    tag = isPlain ? view.getUint16(24, true) : tag;
  }
  if (tag !== PCM && tag !== FLOAT) {
    throw new WavError(`this WAV file is compressed (format 0x${tag.toString(16).padStart(4, '0')}): ${CURE}`);
  }
  const format = tag === PCM ? 'pcm' : 'float';
  const container = blockAlign === 0 ? Math.ceil(bits / 8) : blockAlign / channels;
  const legal = format === 'pcm' ? [1, 2, 3, 4] : [4, 8];
  if (channels === 0 || !legal.includes(container) || bits === 0 || bits > container * 8) {
    throw new WavError(`${bits} bits in ${blockAlign} bytes for ${channels} channels is no WAV this can read: ${CURE}`);
  }
  if (format === 'float' && bits !== container * 8) {
    throw new WavError(`floating point of ${bits} bits is no WAV this can read: ${CURE}`);
  }
  if (sampleRate < MIN_RATE || sampleRate > MAX_RATE) {
    throw new WavError(`${sampleRate} Hz is outside ${MIN_RATE} to ${MAX_RATE} Hz: ${CURE} with -ar 24000`);
  }
  return { format, channels, sampleRate, bits, container };
}

function mixDown(view: DataView, start: number, end: number, layout: Layout): Float32Array {
  const { channels, container } = layout;
  const block = channels * container;
  const frames = Math.floor((end - start) / block);
  const read = sampleReader(view, layout);
  const pcm = new Float32Array(frames);
  for (let frame = 0, at = start; frame < frames; frame++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++, at += container) sum += read(at);
    // NaN fails both comparisons.
    const mean = sum / channels;
    pcm[frame] = mean > -1 ? Math.min(1, mean) : mean <= -1 ? -1 : 0;
  }
  return pcm;
}

function sampleReader(view: DataView, { format, container }: Layout): (at: number) => number {
  if (format === 'float') {
    return container === 4 ? (at) => view.getFloat32(at, true) : (at) => view.getFloat64(at, true);
  }
  switch (container) {
    case 1:
      return (at) => (view.getUint8(at) - 128) / 0x80;
    case 2:
      return (at) => view.getInt16(at, true) / 0x8000;
    case 3:
      return (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 0x800000;
    default:
      return (at) => view.getInt32(at, true) / 0x80000000;
  }
}

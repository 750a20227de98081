/** How {@link writeWav} stores samples. */
export type WavEncoding = 'pcm8' | 'pcm16' | 'pcm24' | 'pcm32' | 'float32' | 'float64';

/** Options of {@link writeWav}. */
export interface WavOptions {
  /** Samples a second; default 24 000. */
  readonly sampleRate?: number;
  /** Default `pcm16`. */
  readonly encoding?: WavEncoding;
  /** Writes the EXTENSIBLE header, as programs do for more than two channels. Default false. */
  readonly extensible?: boolean;
}

const BYTES: Readonly<Record<WavEncoding, number>> = { pcm8: 1, pcm16: 2, pcm24: 3, pcm32: 4, float32: 4, float64: 8 };
const SUBFORMAT_TAIL = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

/**
 * Makes a WAV file of samples in [-1, 1], one array for mono or one for each channel (all of one length). Integers are
 * rounded and clipped. Throws RangeError when channels differ in length or the file would pass 4 GiB.
 */
export function writeWav(
  pcm: Float32Array | readonly Float32Array[],
  options: WavOptions = {},
): Uint8Array<ArrayBuffer> {
  const { sampleRate = 24_000, encoding = 'pcm16', extensible = false } = options;
  const channels = pcm instanceof Float32Array ? [pcm] : pcm;
  const frames = channels[0]?.length ?? 0;
  if (channels.length === 0 || channels.some((channel) => channel.length !== frames)) {
    throw new RangeError('writeWav needs at least one channel, and all channels of one length');
  }
  const sampleBytes = BYTES[encoding];
  const block = sampleBytes * channels.length;
  const isFloat = encoding.startsWith('float');
  const formatBytes = extensible ? 40 : 16;
  const dataBytes = frames * block;
  const dataAt = 12 + 8 + formatBytes + 8;
  const total = dataAt + dataBytes + (dataBytes & 1);
  if (total > 0xffffffff) throw new RangeError(`${frames} samples do not fit in one WAV file (4 GiB)`);

  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  const text = (at: number, value: string) =>
    bytes.set(
      [...value].map((letter) => letter.charCodeAt(0)),
      at,
    );
  text(0, 'RIFF');
  view.setUint32(4, total - 8, true);
  text(8, 'WAVEfmt ');
  view.setUint32(16, formatBytes, true);
  const tag = isFloat ? 3 : 1;
  view.setUint16(20, extensible ? 0xfffe : tag, true);
  view.setUint16(22, channels.length, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * block, true);
  view.setUint16(32, block, true);
  view.setUint16(34, sampleBytes * 8, true);
  if (extensible) {
    view.setUint16(36, 22, true);
    view.setUint16(38, sampleBytes * 8, true);
    view.setUint16(44, tag, true);
    bytes.set(SUBFORMAT_TAIL, 46);
  }
  text(dataAt - 8, 'data');
  view.setUint32(dataAt - 4, dataBytes, true);
  const write = sampleWriter(view, encoding);
  for (let frame = 0, at = dataAt; frame < frames; frame++) {
    for (const channel of channels) {
      write(at, channel[frame]!);
      at += sampleBytes;
    }
  }
  return bytes;
}

function sampleWriter(view: DataView, encoding: WavEncoding): (at: number, sample: number) => void {
  const integer = (sample: number, scale: number) =>
    Math.max(-scale, Math.min(scale - 1, Math.round((Number.isNaN(sample) ? 0 : sample) * scale)));
  switch (encoding) {
    case 'pcm8':
      return (at, sample) => view.setUint8(at, integer(sample, 0x80) + 0x80);
    case 'pcm16':
      return (at, sample) => view.setInt16(at, integer(sample, 0x8000), true);
    case 'pcm24':
      return (at, sample) => {
        const value = integer(sample, 0x800000);
        view.setUint16(at, value & 0xffff, true);
        view.setInt8(at + 2, value >> 16);
      };
    case 'pcm32':
      return (at, sample) => view.setInt32(at, integer(sample, 0x80000000), true);
    case 'float32':
      return (at, sample) => view.setFloat32(at, sample, true);
    case 'float64':
      return (at, sample) => view.setFloat64(at, sample, true);
  }
}

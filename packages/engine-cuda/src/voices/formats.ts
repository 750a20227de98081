import { OggOpusReader, type OpusHead, opusPacketSamples } from '@moshi/protocol';
import type { OpusDecoder } from 'opus-decoder';

/** Sound formats a voice can have; `flac` is also FLAC in Ogg. */
export type AudioFormat = 'wav' | 'flac' | 'mp3' | 'opus' | 'vorbis';

/** Some decoded sound: as many samples in each channel, -1 to 1. */
export interface DecodedPiece {
  readonly channels: Float32Array[];
  /** Hz. */
  readonly rate: number;
}

/** One file being decoded, piece by piece. */
export interface AudioDecoder {
  decode(bytes: Uint8Array): Promise<DecodedPiece[]>;
  /** What is left when all bytes are in. */
  flush(): Promise<DecodedPiece[]>;
  free(): void;
}

const OPUS_RATE = 24_000;
/** The codec core throws on packets larger than this. */
const MAX_OPUS_PACKET = 3840;
/** More broken frames than this, and a file is no recording. */
const MAX_ERRORS = 20;
/** Each stream in a chain takes a decoder of its own, which is some work to make. */
const MAX_CHAINED = 16;

/** What a file holds by its first bytes; undefined for anything unknown. */
export function formatOf(bytes: Uint8Array): AudioFormat | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 512)).toString('latin1');
  if (/^(RIFF|RF64|BW64|RIFX)....WAVE/s.test(text)) return 'wav';
  if (text.startsWith('fLaC')) return 'flac';
  if (text.startsWith('OggS')) {
    if (text.includes('OpusHead')) return 'opus';
    if (text.includes('\x01vorbis')) return 'vorbis';
    return text.includes('\x7fFLAC') ? 'flac' : undefined;
  }
  if (text.startsWith('ID3')) return 'mp3';
  // A frame of MPEG audio: 11 bits set, then a version, layer, bit rate and sample rate that exist.
  const [first = 0, second = 0, third = 0] = bytes;
  const isFrame = first === 0xff && (second & 0xe0) === 0xe0 && (second & 0x18) !== 0x08 && (second & 0x06) !== 0;
  return isFrame && (third & 0xf0) !== 0xf0 && (third & 0x0c) !== 0x0c ? 'mp3' : undefined;
}

/** A decoder for a compressed format; its library is loaded on first use. */
export async function openDecoder(format: Exclude<AudioFormat, 'wav'>): Promise<AudioDecoder> {
  if (format === 'opus') return new OpusFileDecoder();
  const decoder = await makeDecoder(format);
  await decoder.ready;
  let errors = 0;
  const piece = (result: Result): DecodedPiece[] => {
    errors += result.errors.length;
    if (errors > MAX_ERRORS) throw new Error(result.errors[0]?.message || 'too many broken frames');
    return result.samplesDecoded > 0 ? [{ channels: result.channelData, rate: result.sampleRate }] : [];
  };
  return {
    decode: async (bytes) => piece(await decoder.decode(bytes)),
    flush: async () => (decoder.flush ? piece(await decoder.flush()) : []),
    free: () => decoder.free(),
  };
}

interface Result {
  channelData: Float32Array[];
  samplesDecoded: number;
  sampleRate: number;
  errors: { message: string }[];
}

interface LibraryDecoder {
  readonly ready: Promise<void>;
  decode(bytes: Uint8Array): Result | Promise<Result>;
  flush?(): Promise<Result>;
  free(): void;
}

// Imported when needed: they are ES modules, which CommonJS can only load this way, and most programs need none of them.
async function makeDecoder(format: 'flac' | 'mp3' | 'vorbis'): Promise<LibraryDecoder> {
  switch (format) {
    case 'flac':
      return new (await import('@wasm-audio-decoders/flac')).FLACDecoder();
    case 'mp3':
      return new (await import('mpg123-decoder')).MPEGDecoder();
    case 'vorbis':
      return new (await import('@wasm-audio-decoders/ogg-vorbis')).OggVorbisDecoder();
  }
}

/** Opus in Ogg, its start trimmed as the header says. */
class OpusFileDecoder implements AudioDecoder {
  readonly #reader = new OggOpusReader();
  #core: OpusDecoder<typeof OPUS_RATE> | undefined;
  #head: OpusHead | undefined;
  #skip = 0;
  #begun = 0;

  async decode(bytes: Uint8Array): Promise<DecodedPiece[]> {
    const packets: { data: Uint8Array; head: OpusHead | undefined }[] = [];
    this.#reader.forEach(bytes, (data) => packets.push({ data, head: this.#reader.head }));
    const pieces: DecodedPiece[] = [];
    for (const { data, head } of packets) {
      if (data.length > MAX_OPUS_PACKET || opusPacketSamples(data, OPUS_RATE) === 0) continue;
      if (this.#core === undefined || head !== this.#head) await this.#begin(head);
      const { channelData } = this.#core!.decodeFrame(data);
      const length = channelData[0]?.length ?? 0;
      const skipped = Math.min(this.#skip, length);
      this.#skip -= skipped;
      if (length > skipped) {
        pieces.push({ channels: channelData.map((channel) => channel.subarray(skipped)), rate: OPUS_RATE });
      }
    }
    return pieces;
  }

  async flush(): Promise<DecodedPiece[]> {
    return [];
  }

  free(): void {
    this.#core?.free();
    this.#core = undefined;
  }

  async #begin(head: OpusHead | undefined): Promise<void> {
    this.free();
    if (++this.#begun > MAX_CHAINED) throw new Error('too many recordings one after the other');
    const { OpusDecoder } = await import('opus-decoder');
    const { channels = 1, mapping, preSkip = 0 } = head ?? {};
    this.#core = new OpusDecoder({
      sampleRate: OPUS_RATE,
      channels,
      streamCount: mapping?.streams ?? 1,
      coupledStreamCount: mapping?.coupled ?? channels - 1,
      channelMappingTable: mapping ? [...mapping.table] : channels === 1 ? [0] : [0, 1],
      preSkip: 0,
    });
    await this.#core.ready;
    this.#head = head;
    // The header counts at 48 kHz.
    this.#skip = Math.round(preSkip / 2);
  }
}

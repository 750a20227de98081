import type { OggOpusDecoder } from '@moshi/opus/decoder';
import type { OpusPacketEncoder } from '@moshi/opus/packet-encoder';
import type { OpusOptions } from '../options';
import type { CodecFactory, PacketEncoder, PacketSink, SoundDecoder } from './types';

/** Both codecs as WebAssembly, which works everywhere; loaded when the first session asks for one. */
export const wasmCodecs: CodecFactory = {
  async createEncoder(options, sink) {
    const { OpusPacketEncoder } = await import('@moshi/opus/packet-encoder');
    return new WasmEncoder(await OpusPacketEncoder.create(encoderOptions(options)), sink);
  },
  async createDecoder(options) {
    const { OggOpusDecoder } = await import('@moshi/opus/decoder');
    return new WasmDecoder(await OggOpusDecoder.create(options));
  },
};

function encoderOptions({ frameMs, bitrate, application, complexity }: OpusOptions): OpusOptions {
  return { frameMs, bitrate, application, complexity };
}

/** Its packets come inside `push`: nothing is ever pending. */
class WasmEncoder implements PacketEncoder {
  readonly preSkip: number;
  readonly pending = 0;
  readonly #encoder: OpusPacketEncoder;
  readonly #sink: PacketSink;

  constructor(encoder: OpusPacketEncoder, sink: PacketSink) {
    this.preSkip = encoder.preSkip;
    this.#encoder = encoder;
    this.#sink = sink;
  }

  push(frame: Float32Array): void {
    this.#sink.packet(this.#encoder.encode(frame));
  }

  free(): void {
    this.#encoder.free();
  }
}

class WasmDecoder implements SoundDecoder {
  readonly #decoder: OggOpusDecoder;

  constructor(decoder: OggOpusDecoder) {
    this.#decoder = decoder;
  }

  get lost(): number {
    const { lost, badCrc } = this.#decoder.stats;
    // A page with a bad checksum is at least one packet.
    return lost + badCrc;
  }

  decode(bytes: Uint8Array): Float32Array {
    return this.#decoder.decode(bytes);
  }

  free(): void {
    this.#decoder.free();
  }
}

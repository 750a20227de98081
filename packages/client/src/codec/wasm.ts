import type { OggOpusDecoder } from '@moshi/opus/decoder';
import type { OpusPacketEncoder } from '@moshi/opus/packet-encoder';
import { MoshiError } from '../errors';
import type { OpusOptions } from '../options';
import type { CodecFactory, PacketEncoder, PacketSink, SoundDecoder } from './types';

/** Both codecs as WebAssembly, which works everywhere; loaded when the first session asks for one. */
export const wasmCodecs: CodecFactory = {
  async createEncoder(options, sink) {
    checkWebAssembly();
    const { OpusPacketEncoder } = await import('@moshi/opus/packet-encoder');
    return new WasmEncoder(await OpusPacketEncoder.create(encoderOptions(options)), sink);
  },
  async createDecoder(options) {
    checkWebAssembly();
    const { OggOpusDecoder } = await import('@moshi/opus/decoder');
    return new WasmDecoder(await OggOpusDecoder.create(options));
  },
};

/** The smallest module there is. */
const NOTHING = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** Codecs that cannot be compiled would be waited for without an end. Throws {@link MoshiError} `unsupported`. */
function checkWebAssembly(): void {
  try {
    new WebAssembly.Module(NOTHING);
  } catch (cause) {
    throw new MoshiError(
      'unsupported',
      "WebAssembly cannot run here, and sound is decoded by it: a page's Content-Security-Policy has to allow 'wasm-unsafe-eval', and a browser's lockdown mode has to let the page out; or pass codecs: false and exchange Opus packets",
      { cause },
    );
  }
}

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

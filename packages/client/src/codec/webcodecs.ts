import { OggOpusWriter, opusPacketSamples, SAMPLE_RATE } from '@moshi/protocol';
import { rms } from '@moshi/protocol/audio';
import type { AudioOptions } from '../audio/types';
import { MoshiError } from '../errors';
import type { CodecFactory, PacketEncoder, PacketSink } from './types';
import { wasmCodecs } from './wasm';

type EncoderOptions = Parameters<CodecFactory['createEncoder']>[0];

/** What libopus delays at 24 kHz, in samples at 48 kHz. Chromium's own header gives it in another unit. */
const PRE_SKIP = 312;
const TEST_FRAMES = 10;
/** An encoder that keeps more than this to itself delays the conversation. */
const MAX_HELD_FRAMES = 2;
const TEST_MS = 300;
const TEST_LOUDNESS = 0.3;

/** By configuration; what a browser can do it can do as long as the page lives. */
const verdicts = new Map<string, Promise<boolean>>();

/**
 * The browser's encoder where it is good, else WebAssembly, also on the rest of a connection on which the browser's breaks down.
 * `encoder` `webcodecs` insists on it, `wasm` never takes it. Sound is always decoded by WebAssembly.
 */
export function browserCodecs(encoder: NonNullable<AudioOptions['encoder']> = 'auto'): CodecFactory {
  let broken = false;
  return {
    async createEncoder(options, sink) {
      if (encoder === 'wasm' || (encoder === 'auto' && broken)) return wasmCodecs.createEncoder(options, sink);
      if (await isGood(options)) {
        const failed = (error: Error) => {
          broken = true;
          sink.failed(error);
        };
        return new BrowserEncoder(options, { packet: (bytes) => sink.packet(bytes), failed });
      }
      if (encoder === 'auto') return wasmCodecs.createEncoder(options, sink);
      throw new MoshiError('unsupported', 'this browser does not encode Opus well enough: leave out audio.encoder');
    },
    createDecoder: (options) => wasmCodecs.createDecoder(options),
  };
}

function isGood(options: EncoderOptions): Promise<boolean> {
  if (typeof AudioEncoder !== 'function' || typeof AudioData !== 'function') return Promise.resolve(false);
  const key = JSON.stringify(configure(options));
  const verdict = verdicts.get(key) ?? test(options).catch(() => false);
  verdicts.set(key, verdict);
  return verdict;
}

/** Browsers say yes to what they then cannot do, so that it is tried: packets of the right length at once, with the sound in them. */
async function test(options: EncoderOptions): Promise<boolean> {
  const { supported } = await AudioEncoder.isConfigSupported(configure(options));
  if (!supported) return false;
  const samples = (options.frameMs / 1000) * SAMPLE_RATE;
  const packets = await encodeTone(options, samples);
  if (packets.length < TEST_FRAMES - MAX_HELD_FRAMES) return false;
  if (packets.some((packet) => opusPacketSamples(packet, SAMPLE_RATE) !== samples)) return false;
  const decoder = await wasmCodecs.createDecoder({ maxSeconds: 1 });
  try {
    const writer = new OggOpusWriter({ preSkip: PRE_SKIP });
    decoder.decode(writer.header());
    const loudness = rms(decoder.decode(writer.page(packets)).subarray(samples));
    return Math.abs(loudness / TEST_LOUDNESS - 1) < 0.5;
  } finally {
    decoder.free();
  }
}

async function encodeTone(options: EncoderOptions, samples: number): Promise<Uint8Array[]> {
  const packets: Uint8Array[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let encoder: BrowserEncoder | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(resolve, TEST_MS);
      const packet = (bytes: Uint8Array) => {
        packets.push(bytes);
        if (packets.length === TEST_FRAMES) resolve();
      };
      encoder = new BrowserEncoder(options, { packet, failed: reject });
      for (let n = 0; n < TEST_FRAMES; n++) {
        encoder.push(
          Float32Array.from(
            { length: samples },
            (_, i) => TEST_LOUDNESS * Math.SQRT2 * Math.sin((2 * Math.PI * 440 * (n * samples + i)) / SAMPLE_RATE),
          ),
        );
      }
    });
  } finally {
    clearTimeout(timer);
    encoder?.free();
  }
  return packets;
}

function configure({ frameMs, bitrate = 32_000, application = 'audio', complexity = 5 }: EncoderOptions) {
  return {
    codec: 'opus',
    sampleRate: SAMPLE_RATE,
    numberOfChannels: 1,
    bitrate,
    // TypeScript's DOM does not know `application` yet.
    opus: { frameDuration: frameMs * 1000, application, complexity } as OpusEncoderConfig,
  } satisfies AudioEncoderConfig;
}

/** WebCodecs: packets come a little after `push`. */
class BrowserEncoder implements PacketEncoder {
  readonly preSkip = PRE_SKIP;
  readonly #encoder: AudioEncoder;
  #taken = 0;
  #given = 0;
  #freed = false;

  constructor(options: EncoderOptions, sink: PacketSink) {
    this.#encoder = new AudioEncoder({
      output: (chunk) => {
        if (this.#freed) return;
        const bytes = new Uint8Array(chunk.byteLength);
        chunk.copyTo(bytes);
        this.#given += opusPacketSamples(bytes, SAMPLE_RATE);
        sink.packet(bytes);
      },
      error: (error) => {
        if (!this.#freed) sink.failed(error);
      },
    });
    this.#encoder.configure(configure(options));
  }

  get pending(): number {
    return this.#taken - this.#given;
  }

  push(frame: Float32Array): void {
    // One NaN would spoil the rest of the stream.
    const data = Float32Array.from(frame, (sample) => Math.max(-1, Math.min(1, sample || 0)));
    const sound = new AudioData({
      format: 'f32-planar',
      sampleRate: SAMPLE_RATE,
      numberOfFrames: frame.length,
      numberOfChannels: 1,
      timestamp: Math.round((this.#taken / SAMPLE_RATE) * 1e6),
      data,
    });
    this.#taken += frame.length;
    try {
      this.#encoder.encode(sound);
    } finally {
      sound.close();
    }
  }

  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    if (this.#encoder.state !== 'closed') this.#encoder.close();
  }
}

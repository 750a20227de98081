import { OggOpusReader, opusPacketSamples } from '@moshi/protocol';
import type { CodecFactory, SoundDecoder } from './codec/types';
import type { ResolvedOptions } from './options';
import { UserStream } from './user-stream';

/** No server sends more in one message; it bounds what a few malicious bytes can decode to. */
const MAX_SECONDS_PER_MESSAGE = 60;

/** Takes packets out of the model's stream, for sessions that do not decode. */
export interface PacketReader {
  packets(bytes: Uint8Array): Uint8Array[];
  readonly lost: number;
  free(): void;
}

/** What the sound of one connection needs. */
export interface Codecs {
  readonly stream: UserStream;
  /** Undefined where the model's stream of an earlier connection goes on. */
  readonly decoder: SoundDecoder | PacketReader | undefined;
  free(): void;
}

/** Starts the codecs, with or without a decoder; when one fails the other is freed. */
export async function createCodecs(
  factory: CodecFactory | false,
  opus: ResolvedOptions['opus'],
  decodes: boolean,
): Promise<Codecs> {
  const [stream, decoder] = await Promise.allSettled([
    UserStream.open(factory, opus),
    decodes ? openDecoder(factory) : undefined,
  ]);
  if (stream.status === 'fulfilled' && decoder.status === 'fulfilled') {
    const free = () => {
      stream.value.free();
      decoder.value?.free();
    };
    return { stream: stream.value, decoder: decoder.value, free };
  }
  if (stream.status === 'fulfilled') stream.value.free();
  if (decoder.status === 'fulfilled') decoder.value?.free();
  throw stream.status === 'rejected' ? stream.reason : (decoder as PromiseRejectedResult).reason;
}

async function openDecoder(factory: CodecFactory | false): Promise<SoundDecoder | PacketReader> {
  if (factory) return factory.createDecoder({ maxSeconds: MAX_SECONDS_PER_MESSAGE });
  const reader = new OggOpusReader();
  let bad = 0;
  return {
    packets(bytes) {
      const packets = reader.push(bytes);
      const good = packets.filter((packet) => opusPacketSamples(packet) > 0);
      bad += packets.length - good.length;
      return good;
    },
    get lost() {
      return bad + reader.stats.brokenPackets + reader.stats.badCrc;
    },
    free: () => {},
  };
}

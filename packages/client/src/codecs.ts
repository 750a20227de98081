import { OggOpusDecoder, OggOpusEncoder } from '@moshi/opus';
import type { OpusOptions } from './options';

/** No server sends more in one message; it bounds what a few malicious bytes can decode to. */
const MAX_SECONDS_PER_MESSAGE = 60;

/** Both directions of a connection's audio. */
export interface Codecs {
  readonly encoder: OggOpusEncoder;
  readonly decoder: OggOpusDecoder;
  free(): void;
}

/** Starts both codecs; when one fails the other is freed. */
export async function createCodecs(options: OpusOptions): Promise<Codecs> {
  const [encoder, decoder] = await Promise.allSettled([
    OggOpusEncoder.create(options),
    OggOpusDecoder.create({ maxSeconds: MAX_SECONDS_PER_MESSAGE }),
  ]);
  if (encoder.status === 'fulfilled' && decoder.status === 'fulfilled') {
    const free = () => {
      encoder.value.free();
      decoder.value.free();
    };
    return { encoder: encoder.value, decoder: decoder.value, free };
  }
  if (encoder.status === 'fulfilled') encoder.value.free();
  if (decoder.status === 'fulfilled') decoder.value.free();
  throw encoder.status === 'rejected' ? encoder.reason : (decoder as PromiseRejectedResult).reason;
}

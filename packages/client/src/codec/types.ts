import type { OpusOptions } from '../options';

/** Takes what an encoder makes, in order. */
export interface PacketSink {
  /** One Opus packet, the sink's to keep. */
  packet(bytes: Uint8Array): void;
  /** The encoder broke down and will give nothing more. */
  failed(error: Error): void;
}

/** Encodes 24 kHz mono sound to Opus packets of `frameMs`; they come at once, or a little later where the browser encodes. */
export interface PacketEncoder {
  /** Samples at 48 kHz that a player leaves out at the beginning, for the stream's header. */
  readonly preSkip: number;
  /** Samples taken whose packets the sink has not got. */
  readonly pending: number;
  /** Exactly one packet's samples in [-1, 1], not kept. */
  push(frame: Float32Array): void;
  /** Gives the memory back; what is pending is forgotten. */
  free(): void;
}

/** Decodes one Ogg Opus byte stream to 24 kHz mono. */
export interface SoundDecoder {
  /** Takes the next bytes, in any split; returns the samples they complete. */
  decode(bytes: Uint8Array): Float32Array;
  /** Opus packets that came broken or in a broken page. */
  readonly lost: number;
  free(): void;
}

/** Makes both directions' codecs of a connection. */
export interface CodecFactory {
  createEncoder(options: OpusOptions & { readonly frameMs: 20 | 40 }, sink: PacketSink): Promise<PacketEncoder>;
  /** `maxSeconds`: what one message may decode to. */
  createDecoder(options: { readonly maxSeconds: number }): Promise<SoundDecoder>;
}

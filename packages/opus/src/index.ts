// By name: of `export *` esbuild leaves out the start of a module that is also loaded lazily, as the client does.
export { OggOpusDecoder, type OggOpusDecoderOptions, type OggOpusDecoderStats } from './decoder';
export { OggOpusEncoder, type OggOpusEncoderOptions } from './encoder';
export { OpusPacketEncoder, type OpusPacketEncoderOptions } from './packet-encoder';

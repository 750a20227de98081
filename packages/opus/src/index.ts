export * from './decoder';
export * from './encoder';
export { OpusPacketEncoder, type OpusPacketEncoderOptions } from './packet-encoder';

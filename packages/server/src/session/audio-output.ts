import { OggOpusEncoder } from '@moshi/opus';

/** The model's audio as the Ogg Opus stream of the stock servers: VOIP, 40 ms packets, one packet a page, serial 42. */
export class AudioOutput {
  readonly #encoder: OggOpusEncoder;
  #started = false;

  private constructor(encoder: OggOpusEncoder) {
    this.#encoder = encoder;
  }

  static async create(): Promise<AudioOutput> {
    return new AudioOutput(
      await OggOpusEncoder.create({
        application: 'voip',
        frameMs: 40,
        packetsPerPage: 1,
        serial: 42,
        preSkip: 3840,
        inputSampleRate: 48_000,
      }),
    );
  }

  /** The pages of one frame (1920 samples); both header pages come in front of the first frame's. */
  encode(pcm: Float32Array): Uint8Array {
    const header = this.#started ? [] : [this.#encoder.header()];
    this.#started = true;
    return Buffer.concat([...header, ...this.#encoder.encode(pcm)]);
  }

  free(): void {
    this.#encoder.free();
  }
}

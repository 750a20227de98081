import { createWriteStream, type WriteStream } from 'node:fs';
import { FRAME_SAMPLES, OggOpusWriter, SAMPLE_RATE } from '@moshi/protocol';
import { Application, createEncoder, type OpusEncoderHandle } from 'libopus-wasm';

/** Samples of one Opus packet: 40 ms, half a frame of the model. */
const PACKET = FRAME_SAMPLES / 2;
/** Positions in Ogg Opus count at 48 kHz. */
const GRANULE_SCALE = 48_000 / SAMPLE_RATE;
/** Frames that one side may be ahead before the other is taken to be silent. */
const PATIENCE = 12;
const SILENCE = new Float32Array(FRAME_SAMPLES);

/** Writes two mono streams of 80 ms frames side by side into one Ogg Opus file: left the user, right the model. */
export class StereoRecorder {
  readonly #opus: OpusEncoderHandle;
  readonly #ogg: OggOpusWriter;
  readonly #file: WriteStream;
  readonly #preSkip: number;
  readonly #block = new Float32Array(2 * PACKET);
  #left: Float32Array[] = [];
  #right: Float32Array[] = [];
  /** The model has nothing in the file yet, or fell silent: its next frame belongs to what the user says then. */
  #adrift = true;
  #frames = 0;

  private constructor(path: string, opus: OpusEncoderHandle) {
    this.#opus = opus;
    // What the encoder delays; players leave it out.
    this.#preSkip = opus.getLookahead() * GRANULE_SCALE;
    const comments = ['TITLE=A conversation', 'DESCRIPTION=left: user, right: model'];
    this.#ogg = new OggOpusWriter({ channels: 2, preSkip: this.#preSkip, comments });
    this.#file = createWriteStream(path);
    this.#file.on('error', (error) => console.error(error.message));
    this.#file.write(this.#ogg.header());
  }

  static async create(path: string): Promise<StereoRecorder> {
    const application = Application.Audio;
    const format = { sampleRate: SAMPLE_RATE, channels: 2, frameSize: PACKET } as const;
    return new StereoRecorder(path, await createEncoder({ ...format, application, bitrate: 64_000 }));
  }

  /** Seconds in the file so far. */
  get seconds(): number {
    return (this.#frames * FRAME_SAMPLES) / SAMPLE_RATE;
  }

  /** The user's next frame, 1920 samples. */
  user(pcm: Float32Array): void {
    this.#left.push(pcm);
    while (this.#left.length > PATIENCE) {
      this.#adrift = true;
      this.#write();
    }
  }

  /** The model's next frame, 1920 samples; it answers the user's frames one by one, a few frames late. */
  model(pcm: Float32Array): void {
    if (this.#adrift) while (this.#left.length > 1) this.#write();
    this.#adrift = false;
    this.#right.push(pcm);
    while (this.#right.length > 0 && (this.#left.length > 0 || this.#right.length > PATIENCE)) this.#write();
  }

  /** Writes what is left and resolves when the file is complete. */
  async close(): Promise<void> {
    while (this.#left.length + this.#right.length > 0) this.#write();
    // One more packet brings out what the encoder still holds; the trim says where the sound ends.
    const packets = this.#encode(SILENCE, SILENCE).slice(0, 1);
    this.#file.write(this.#ogg.end({ packets, trim: PACKET * GRANULE_SCALE - this.#preSkip }));
    this.#opus.free();
    await new Promise<void>((resolve) => this.#file.end(resolve));
  }

  #write(): void {
    this.#file.write(this.#ogg.page(this.#encode(this.#left.shift() ?? SILENCE, this.#right.shift() ?? SILENCE)));
    this.#frames++;
  }

  #encode(left: Float32Array, right: Float32Array): Uint8Array[] {
    return [0, PACKET].map((at) => {
      for (let i = 0; i < PACKET; i++) {
        this.#block[2 * i] = clip(left[at + i]!);
        this.#block[2 * i + 1] = clip(right[at + i]!);
      }
      return this.#opus.encodeFloat(this.#block);
    });
  }
}

function clip(sample: number): number {
  return Math.max(-1, Math.min(1, sample));
}

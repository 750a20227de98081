import { OggOpusWriter, SAMPLE_RATE } from '@moshi/protocol';
import type { CodecFactory, PacketEncoder, PacketSink } from './codec/types';
import type { ResolvedOptions } from './options';

/** What a {@link UserStream} tells. */
export interface UserStreamHost {
  /** Bytes of the stream: the headers first (`samples` 0), then pages. */
  page(data: Uint8Array, samples: number): void;
  /** The encoder broke down. Without `final` another one takes its place, and {@link UserStreamHost.ready} follows. */
  failed(error: Error, final: boolean): void;
  ready(): void;
}

/**
 * The user's sound on one connection: one Ogg Opus stream, whose headers stock servers must not see twice. An encoder that
 * breaks down is replaced by another on the same stream, until two in a row never worked.
 */
export class UserStream {
  readonly #factory: CodecFactory | false;
  readonly #options: ResolvedOptions['opus'];
  readonly #packetSamples: number;
  #writer: OggOpusWriter | undefined;
  #headerSent = false;
  #encoder: PacketEncoder | undefined;
  #sink: PacketSink | undefined;
  /** Packets of the page under way. */
  #packets: Uint8Array[] = [];
  /** What they hold. */
  #pageSamples = 0;
  #host: UserStreamHost | undefined;
  #freed = false;
  /** The encoder before this one never gave a packet. */
  #wasVain = false;

  private constructor(factory: CodecFactory | false, options: ResolvedOptions['opus']) {
    this.#factory = factory;
    this.#options = options;
    this.#packetSamples = (options.frameMs / 1000) * SAMPLE_RATE;
  }

  /** Starts an encoder, unless there is to be none; rejects as it does. */
  static async open(factory: CodecFactory | false, options: ResolvedOptions['opus']): Promise<UserStream> {
    const stream = new UserStream(factory, options);
    await stream.#load();
    return stream;
  }

  /** Whether {@link write} takes anything now. */
  get ready(): boolean {
    return this.#encoder !== undefined;
  }

  /** Samples written whose page is not out. */
  get pending(): number {
    return (this.#encoder?.pending ?? 0) + this.#pageSamples;
  }

  /** From here on pages go to `host`. */
  begin(host: UserStreamHost): void {
    this.#host = host;
  }

  /** Takes exactly one page's samples. */
  write(pcm: Float32Array): void {
    try {
      for (let at = 0; at < pcm.length; at += this.#packetSamples) {
        this.#encoder?.push(pcm.subarray(at, at + this.#packetSamples));
      }
    } catch (error) {
      this.#sink?.failed(error as Error);
    }
  }

  /** Takes a packet of so many samples that somebody else encoded. */
  add(packet: Uint8Array, samples: number): void {
    this.#writer ??= new OggOpusWriter();
    this.#add(packet, samples);
  }

  /** The page under way goes out with the packets it has. */
  endPage(): void {
    if (!this.#writer || this.#packets.length === 0) return;
    if (!this.#headerSent) {
      this.#headerSent = true;
      this.#host?.page(this.#writer.header(), 0);
    }
    const samples = this.#pageSamples;
    this.#pageSamples = 0;
    this.#host?.page(this.#writer.page(this.#packets.splice(0)), samples);
  }

  /** Gives the encoder's memory back; nothing comes any more. */
  free(): void {
    this.#freed = true;
    this.#host = undefined;
    this.#encoder?.free();
    this.#encoder = undefined;
  }

  async #load(): Promise<void> {
    if (!this.#factory) return;
    let worked = false;
    let current = true;
    // Each encoder has a sink of its own: one that broke down may still have something to say.
    const sink: PacketSink = {
      packet: (bytes) => {
        if (!current || this.#freed) return;
        try {
          this.#add(bytes, this.#packetSamples);
          worked = true;
        } catch (error) {
          sink.failed(error as Error);
        }
      },
      failed: (error) => {
        if (!current || this.#freed) return;
        current = false;
        this.#encoder?.free();
        this.#encoder = undefined;
        const final = this.#wasVain && !worked;
        this.#wasVain = !worked;
        this.#host?.failed(error, final);
        if (!final) void this.#replace();
      },
    };
    const encoder = await this.#factory.createEncoder(this.#options, sink);
    if (this.#freed || !current) {
      encoder.free();
      return;
    }
    this.#encoder = encoder;
    this.#sink = sink;
    this.#writer ??= new OggOpusWriter({ preSkip: encoder.preSkip });
  }

  async #replace(): Promise<void> {
    try {
      await this.#load();
      this.#host?.ready();
    } catch (error) {
      this.#host?.failed(error as Error, true);
    }
  }

  #add(packet: Uint8Array, samples: number): void {
    this.#packets.push(packet);
    this.#pageSamples += samples;
    if (this.#packets.length >= this.#options.packetsPerPage) this.endPage();
  }
}

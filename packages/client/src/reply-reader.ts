import { type Message, opusPacketSamples, SAMPLE_RATE, TextAssembler } from '@moshi/protocol';
import type { PacketReader } from './codecs';
import { MoshiError } from './errors';
import type { AudioEvent, PacketsEvent, TextEvent } from './events';
import type { MetricsRecorder } from './metrics';

/** The part of `OggOpusDecoder` that the reader uses. */
export interface PageDecoder {
  decode(bytes: Uint8Array): Float32Array;
}

export interface ReplySink {
  text(event: TextEvent): void;
  audio(event: AudioEvent): void;
  packets(event: PacketsEvent): void;
  error(error: MoshiError): void;
}

/** Turns the server's messages into reply audio and clean text on one clock. */
export class ReplyReader {
  readonly #decoder: PageDecoder | PacketReader;
  readonly #metrics: MetricsRecorder;
  readonly #sink: ReplySink;
  readonly #assembler = new TextAssembler();

  constructor(decoder: PageDecoder | PacketReader, metrics: MetricsRecorder, sink: ReplySink) {
    this.#decoder = decoder;
    this.#metrics = metrics;
    this.#sink = sink;
  }

  /** Handles `audio`, `text` and `coloredText`; other types are not the reader's. */
  read(message: Message): void {
    if (message.type === 'audio') this.#readAudio(message.data);
    else if (message.type === 'text') this.#emitText(this.#assembler.push(message.text));
    else if (message.type === 'coloredText') this.#emitText(this.#assembler.push(message.text), message.color);
  }

  /** Hands out text that was held back for bytes that will not come any more. */
  end(): void {
    this.#emitText(this.#assembler.flush());
  }

  #readAudio(data: Uint8Array): void {
    if ('packets' in this.#decoder) {
      this.#readPackets(this.#decoder.packets(data));
      return;
    }
    let pcm: Float32Array;
    try {
      pcm = this.#decoder.decode(data);
    } catch (cause) {
      this.#sink.error(new MoshiError('codec', `an audio message could not be decoded: ${String(cause)}`, { cause }));
      return;
    }
    if (pcm.length === 0) return;
    const time = this.#metrics.receivedSeconds;
    this.#metrics.audioReceived(pcm.length);
    this.#sink.audio({ pcm, time });
  }

  #readPackets(packets: Uint8Array[]): void {
    const samples = packets.reduce((sum, packet) => sum + opusPacketSamples(packet, SAMPLE_RATE), 0);
    if (samples === 0) return;
    const time = this.#metrics.receivedSeconds;
    this.#metrics.audioReceived(samples);
    this.#sink.packets({ packets, time });
  }

  #emitText(text: string, color?: number): void {
    if (text === '') return;
    const time = this.#metrics.receivedSeconds;
    this.#sink.text(color === undefined ? { text, time } : { text, time, color });
  }
}

import type { Message } from '@moshi/protocol';
import { AudioSender, type Resent, type SoundWire } from './audio-sender';
import type { SoundDecoder } from './codec/types';
import type { Codecs, PacketReader } from './codecs';
import { MoshiError } from './errors';
import type { DroppedEvent } from './events';
import { MetricsRecorder, type SessionMetrics } from './metrics';
import type { ResolvedOptions } from './options';
import { ReplyReader, type ReplySink } from './reply-reader';
import { SilenceWatch } from './silence-watch';
import type { UserStream } from './user-stream';

const METRICS_INTERVAL_MS = 1000;
/** No more than this is ever sent again, whatever may wait: it would stay behind as delay. */
const MAX_TAIL_MS = 10_000;

/** What the audio of a session tells it. */
export interface LiveAudioSink extends ReplySink {
  dropped(event: DroppedEvent): void;
  metrics(metrics: SessionMetrics): void;
  /** Audio was sent and nothing came back for too long. */
  silent(): void;
}

/**
 * Both directions of a session's sound over all its connections: codecs, what waits to be sent, what came back, and the
 * figures about it.
 */
export class LiveAudio {
  readonly #sink: LiveAudioSink;
  readonly #metrics = new MetricsRecorder();
  readonly #watch: SilenceWatch;
  readonly #sender: AudioSender;
  #decoder: SoundDecoder | PacketReader | undefined;
  #reader: ReplyReader | undefined;
  /** Packets lost by the decoders of conversations that are over. */
  #lostBefore = 0;
  /** The server answers nothing, as it was asked to. */
  #held = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: ResolvedOptions, sink: LiveAudioSink) {
    this.#sink = sink;
    this.#watch = new SilenceWatch(options.idleTimeoutMs, () => sink.silent());
    this.#watch.suspend(true);
    this.#sender = new AudioSender({
      pageSamples: options.pageSamples,
      encodes: options.codecs !== false,
      maxBufferedMs: options.maxBufferedMs,
      tailMs: options.reconnect ? Math.min(options.maxBufferedMs, MAX_TAIL_MS) : 0,
      onMessage: () => this.#metrics.messageSent(),
      onPage: (samples) => {
        this.#metrics.audioSent(samples);
        this.#watch.audioSent(samples);
      },
      onDropped: (ms) => sink.dropped({ ms, totalMs: this.#metrics.dropped(ms) }),
      onFailed: (cause) => sink.error(new MoshiError('codec', `the encoder failed: ${String(cause)}`, { cause })),
    });
  }

  /** Seconds of reply audio received. */
  get receivedSeconds(): number {
    return this.#metrics.receivedSeconds;
  }

  /** The figures of this moment. */
  get metrics(): SessionMetrics {
    const lost = this.#lostBefore + (this.#decoder?.lost ?? 0);
    return this.#metrics.snapshot(this.#sender.bufferedMs, lost);
  }

  /** A conversation begins on this connection: audio goes out and comes in. The codecs are freed here from now on. */
  begin(wire: SoundWire, { stream, decoder }: Codecs): void {
    if (this.#reader) this.#metrics.reconnected(false, 0);
    this.flush();
    this.#freeDecoder();
    this.#decoder = decoder;
    this.#reader = decoder && new ReplyReader(decoder, this.#metrics, this.#sink);
    this.#timer ??= setInterval(() => this.#sink.metrics(this.metrics), METRICS_INTERVAL_MS);
    this.resume();
    this.#sender.begin(wire, stream);
  }

  /** The conversation goes on on another connection; the server has `heard` so many samples of it. */
  goOn(wire: SoundWire, stream: UserStream, heard: number, resend: boolean): Resent {
    this.#watch.suspend(this.#held);
    this.#metrics.reconnected(true, Math.max(0, this.#sender.position - heard));
    return this.#sender.resume(wire, stream, heard, resend);
  }

  /** The connection is gone; what is to be sent waits for the next. */
  halt(): void {
    this.#watch.suspend(true);
    this.#sender.halt();
  }

  send(pcm: Float32Array): void {
    this.#sender.push(pcm);
  }

  sendPackets(packets: readonly Uint8Array[]): void {
    this.#sender.pushPackets(packets);
  }

  /** Resolves when all audio was handed to the network, or the session ended. */
  async finish(): Promise<void> {
    await this.#sender.finish();
  }

  /** The server gave a sign of life. */
  heard(): void {
    this.#watch.reset();
  }

  /** Hands out what a message holds of sound or text. */
  read(message: Message): void {
    this.#reader?.read(message);
  }

  countReceived(message: Message): void {
    this.#metrics.messageReceived(message.type);
  }

  countSent(): void {
    this.#metrics.messageSent();
  }

  /** The server answers nothing for now, as it was asked to. */
  hold(): void {
    this.#held = true;
    this.#watch.suspend(true);
  }

  /** The server answers again, and what it was sent in between it has thrown away. */
  resume(): void {
    this.#held = false;
    this.#watch.suspend(false);
    this.#metrics.resync();
  }

  /** What waits to be sent belongs to a conversation that is over. */
  discard(): void {
    this.#sender.discard();
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#watch.suspend(true);
    this.#sender.stop();
  }

  /** The session is over: frees the codecs. */
  release(): void {
    clearInterval(this.#timer);
    this.stop();
    this.#freeDecoder();
  }

  /** Hands out text that was held back for bytes that will not come any more. */
  flush(): void {
    this.#reader?.end();
  }

  #freeDecoder(): void {
    this.#lostBefore += this.#decoder?.lost ?? 0;
    this.#decoder?.free();
    this.#decoder = undefined;
  }
}

import { type Message, SAMPLE_RATE } from '@moshi/protocol';
import { AudioSender } from './audio-sender';
import type { Codecs } from './codecs';
import type { DroppedEvent } from './events';
import { MetricsRecorder, type SessionMetrics } from './metrics';
import type { ResolvedOptions } from './options';
import { ReplyReader, type ReplySink } from './reply-reader';
import { SilenceWatch } from './silence-watch';

const METRICS_INTERVAL_MS = 1000;

/** What the audio of a session tells it. */
export interface LiveAudioSink extends ReplySink {
  dropped(event: DroppedEvent): void;
  metrics(metrics: SessionMetrics): void;
  /** Audio was sent and nothing came back for too long. */
  silent(): void;
}

/** Both directions of a session's sound: codecs, what waits to be sent, what came back, and the figures about it. */
export class LiveAudio {
  readonly #options: ResolvedOptions;
  readonly #sink: LiveAudioSink;
  readonly #metrics = new MetricsRecorder();
  readonly #watch: SilenceWatch;
  #codecs: Codecs | undefined;
  #sender: AudioSender | undefined;
  #reader: ReplyReader | undefined;
  #lostPackets = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: ResolvedOptions, sink: LiveAudioSink) {
    this.#options = options;
    this.#sink = sink;
    this.#watch = new SilenceWatch(options.idleTimeoutMs, () => sink.silent());
  }

  /** True from {@link start} on, also after the end. */
  get started(): boolean {
    return this.#reader !== undefined;
  }

  /** Seconds of reply audio received. */
  get receivedSeconds(): number {
    return this.#metrics.receivedSeconds;
  }

  /** The figures of this moment. */
  get metrics(): SessionMetrics {
    return this.#metrics.snapshot(this.bufferedMs, this.#countLost());
  }

  /** Milliseconds of audio that wait for the network. */
  get bufferedMs(): number {
    return this.#sender?.bufferedMs ?? 0;
  }

  /** The server is ready: from now on audio goes out and comes in. The codecs are freed at the end. */
  start(codecs: Codecs): void {
    this.#codecs = codecs;
    this.#reader = new ReplyReader(codecs.decoder, this.#metrics, this.#sink);
    this.#sender = new AudioSender({
      transport: this.#options.transport,
      encoder: codecs.encoder,
      pageSamples: this.#options.pageSamples,
      maxBufferedMs: this.#options.maxBufferedMs,
      onMessage: () => this.#metrics.messageSent(),
      onPage: (samples) => {
        this.#metrics.audioSent(samples);
        this.#watch.audioSent(samples);
      },
      onDropped: (ms) => this.#sink.dropped({ ms, totalMs: this.#metrics.dropped(ms) }),
    });
    this.#timer = setInterval(() => this.#sink.metrics(this.metrics), METRICS_INTERVAL_MS);
  }

  send(pcm: Float32Array): void {
    this.#sender?.push(pcm);
  }

  sendSilence(ms: number): void {
    this.send(new Float32Array(Math.round((ms / 1000) * SAMPLE_RATE)));
  }

  /** Resolves when all audio was handed to the network, or the session ended. */
  async finish(): Promise<void> {
    await this.#sender?.finish();
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
    this.#watch.suspend(true);
  }

  /** The server answers again, and what it was sent in between it has thrown away. */
  resume(): void {
    this.#watch.suspend(false);
    this.#metrics.resync();
  }

  /** What waits to be sent belongs to a conversation that is over. */
  discard(): void {
    this.#sender?.discard();
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#watch.suspend(true);
    this.#sender?.stop();
  }

  /** The connection is gone: frees the codecs. */
  release(): void {
    clearInterval(this.#timer);
    this.#watch.suspend(true);
    this.#countLost();
    this.#codecs?.free();
    this.#codecs = undefined;
    this.#sender?.stop();
  }

  /** Hands out text that was held back for bytes that will not come any more. */
  flush(): void {
    this.#reader?.end();
  }

  #countLost(): number {
    const stats = this.#codecs?.decoder.stats;
    // A page with a bad checksum is at least one packet.
    if (stats) this.#lostPackets = stats.lost + stats.badCrc;
    return this.#lostPackets;
  }
}

import { encodeMessage, FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import { PcmQueue } from './pcm-queue';
import { startTimer, type Timer } from './timer';
import type { Transport } from './transport';

/** The part of `OggOpusEncoder` that the sender uses. */
export interface PageEncoder {
  header(): Uint8Array;
  encode(pcm: Float32Array): Uint8Array[];
}

export interface AudioSenderOptions {
  transport: Transport;
  encoder: PageEncoder;
  /** Samples of one Ogg page. */
  pageSamples: number;
  maxBufferedMs: number;
  onPage(samples: number): void;
  onMessage(): void;
  onDropped(ms: number): void;
}

/** More than this waiting inside the WebSocket means that the network is stuck: about four seconds of Opus. */
const HIGH_WATER_BYTES = 16 * 1024;
const POLL_MS = 20;

/**
 * Turns microphone samples into audio messages as fast as the transport takes them. What it does not take waits as
 * samples, not as pages, so that dropping never leaves a hole in the one Ogg stream of the connection.
 */
export class AudioSender {
  readonly #options: AudioSenderOptions;
  readonly #queue = new PcmQueue();
  readonly #unit: number;
  #accepted = 0;
  #headerSent = false;
  #timer: Timer | undefined;
  #drained: (() => void)[] = [];
  #stopped = false;

  constructor(options: AudioSenderOptions) {
    this.#options = options;
    this.#unit = leastCommonMultiple(FRAME_SAMPLES, options.pageSamples);
  }

  /** Milliseconds of audio that wait for the transport, the incomplete page included. */
  get bufferedMs(): number {
    return milliseconds(this.#queue.length);
  }

  push(pcm: Float32Array): void {
    if (this.#stopped) {
      this.#options.onDropped(milliseconds(pcm.length));
      return;
    }
    this.#queue.push(pcm);
    this.#accepted += pcm.length;
    this.#pump();
    const excess = this.#queue.length - Math.floor((this.#options.maxBufferedMs / 1000) * SAMPLE_RATE);
    if (excess <= 0) return;
    this.#queue.drop(excess);
    this.#accepted -= excess;
    this.#options.onDropped(milliseconds(excess));
  }

  /** Fills the last frame with silence; resolves when everything was handed to the transport or the session ended. */
  finish(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    const rest = this.#accepted % this.#unit;
    if (rest > 0) {
      this.#queue.push(new Float32Array(this.#unit - rest));
      this.#accepted += this.#unit - rest;
    }
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve));
    this.#pump();
    return drained;
  }

  /** Forgets what waits, because nobody wants it any more; it does not count as dropped. */
  discard(): void {
    this.#accepted -= this.#queue.length;
    this.#queue.clear();
  }

  /** Ends the sender; pages that still wait are dropped and counted. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#timer);
    const waiting = this.#queue.length;
    this.#queue.clear();
    this.#settle();
    if (waiting >= this.#options.pageSamples) this.#options.onDropped(milliseconds(waiting));
  }

  #pump(): void {
    clearTimeout(this.#timer);
    const { transport, encoder, pageSamples } = this.#options;
    while (!this.#stopped && this.#queue.length >= pageSamples && transport.bufferedAmount <= HIGH_WATER_BYTES) {
      if (!this.#headerSent) {
        this.#headerSent = true;
        this.#send(encoder.header());
      }
      for (const page of encoder.encode(this.#queue.take(pageSamples))) this.#send(page);
      this.#options.onPage(pageSamples);
    }
    if (this.#stopped || this.#queue.length < pageSamples) this.#settle();
    // WebSockets have no drain event in browsers, so look again soon.
    else this.#timer = startTimer(() => this.#pump(), POLL_MS);
  }

  #send(data: Uint8Array): void {
    this.#options.transport.send(encodeMessage({ type: 'audio', data }));
    this.#options.onMessage();
  }

  #settle(): void {
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

const milliseconds = (samples: number) => (samples / SAMPLE_RATE) * 1000;

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y > 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

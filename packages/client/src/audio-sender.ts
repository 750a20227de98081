import { type ClientMessage, FRAME_SAMPLES, opusPacketSamples, SAMPLE_RATE } from '@moshi/protocol';
import { PcmQueue } from './pcm-queue';
import { SentTail } from './sent-tail';
import { startTimer, type Timer } from './timer';
import type { UserStream } from './user-stream';

/** The part of a connection that the sender uses. */
export interface SoundWire {
  readonly bufferedAmount: number;
  send(message: ClientMessage): void;
}

export interface AudioSenderOptions {
  /** Samples of one Ogg page. */
  pageSamples: number;
  /** Samples come; else packets. */
  encodes: boolean;
  maxBufferedMs: number;
  /** How much of what was sent is kept, to be sent once more. */
  tailMs: number;
  /** A page was sent. */
  onPage(samples: number): void;
  onMessage(): void;
  onDropped(ms: number): void;
  onFailed(error: Error): void;
}

/** What became of the sound of the time without a connection. */
export interface Resent {
  readonly resentMs: number;
  readonly droppedMs: number;
}

/** More than this waiting inside the WebSocket means that the network is stuck: about four seconds of Opus. */
const HIGH_WATER_BYTES = 16 * 1024;
const POLL_MS = 20;
/** As much may be in an encoder that gives its packets later. */
const MAX_ENCODING_SAMPLES = SAMPLE_RATE;

/**
 * Turns microphone samples into audio messages as fast as the connection takes them. What it does not take waits as
 * samples, not as pages, so that dropping never leaves a hole in the Ogg stream; it waits from one connection to the next.
 */
export class AudioSender {
  readonly #options: AudioSenderOptions;
  readonly #queue = new PcmQueue();
  readonly #tail: SentTail;
  readonly #unit: number;
  readonly #limit: number;
  #wire: SoundWire | undefined;
  #stream: UserStream | undefined;
  #timer: Timer | undefined;
  #drained: (() => void)[] = [];
  /** Milliseconds dropped since the connection was lost. */
  #droppedMs = 0;
  #stopped = false;

  constructor(options: AudioSenderOptions) {
    const { pageSamples, maxBufferedMs, tailMs } = options;
    this.#options = options;
    this.#unit = leastCommonMultiple(FRAME_SAMPLES, pageSamples);
    this.#limit = Math.floor((maxBufferedMs / 1000) * SAMPLE_RATE);
    this.#tail = new SentTail(Math.floor((tailMs / 1000) * SAMPLE_RATE));
  }

  /** Milliseconds of audio that wait for the connection, the incomplete page and what is being encoded included. */
  get bufferedMs(): number {
    return milliseconds(this.#queue.length + (this.#stream?.pending ?? 0));
  }

  /** Samples the conversation was sent so far. */
  get position(): number {
    return this.#tail.end;
  }

  /** A new conversation on this connection; what waits belonged to the one before. */
  begin(wire: SoundWire, stream: UserStream): void {
    const waiting = this.#queue.length;
    this.#queue.clear();
    this.#tail.clear();
    if (waiting > 0) this.#drop(waiting);
    this.#connect(wire, stream);
  }

  /** The same conversation on another connection; the server has `heard` so many samples. `keep`: whether to send the rest again. */
  resume(wire: SoundWire, stream: UserStream, heard: number, keep: boolean): Resent {
    const { pcm, missing } = this.#tail.rewind(heard);
    const waiting = this.#queue.take(this.#queue.length);
    if (keep) this.#queue.push(pcm);
    this.#queue.push(waiting);
    const lost = missing + (keep ? 0 : pcm.length);
    if (lost > 0) this.#drop(lost);
    const cut = this.#trim();
    const droppedMs = this.#droppedMs;
    this.#connect(wire, stream);
    return { resentMs: keep ? milliseconds(Math.max(0, pcm.length - cut)) : 0, droppedMs };
  }

  /** The connection is gone: what comes waits for the next. */
  halt(): void {
    clearTimeout(this.#timer);
    this.#stream?.free();
    this.#stream = undefined;
    this.#wire = undefined;
    this.#droppedMs = 0;
  }

  push(pcm: Float32Array): void {
    if (this.#stopped) {
      this.#drop(pcm.length);
      return;
    }
    this.#queue.push(pcm);
    this.#pump();
    this.#trim();
  }

  /** Sends Opus packets; those that the connection does not take are dropped. */
  pushPackets(packets: readonly Uint8Array[]): void {
    for (const packet of packets) {
      const samples = opusPacketSamples(packet, SAMPLE_RATE);
      const wire = this.#wire;
      if (this.#stopped || !wire || wire.bufferedAmount > HIGH_WATER_BYTES) {
        this.#drop(samples);
      } else {
        this.#tail.skip(samples);
        this.#stream?.add(packet, samples);
      }
    }
  }

  /**
   * Fills the last frame with silence, or ends the last page with the packets it has. Resolves when everything was handed to the
   * transport, or the session ended.
   */
  finish(): Promise<void> {
    if (!this.#options.encodes) this.#stream?.endPage();
    if (this.#stopped || !this.#options.encodes) return Promise.resolve();
    const rest = (this.#tail.end + this.#queue.length) % this.#unit;
    if (rest > 0) this.#queue.push(new Float32Array(this.#unit - rest));
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve));
    this.#pump();
    return drained;
  }

  /** Forgets what waits, because nobody wants it any more; it does not count as dropped. */
  discard(): void {
    this.#queue.clear();
  }

  /** Ends the sender; pages that still wait are dropped and counted. */
  stop(): void {
    this.#stopped = true;
    const waiting = this.#queue.length;
    this.halt();
    this.#queue.clear();
    this.#settle();
    if (waiting >= this.#options.pageSamples) this.#drop(waiting);
  }

  #connect(wire: SoundWire, stream: UserStream): void {
    this.#wire = wire;
    this.#stream = stream;
    this.#droppedMs = 0;
    stream.begin({
      page: (data, samples) => this.#send(data, samples),
      failed: (error, final) => {
        this.#options.onFailed(error);
        if (final) this.stop();
      },
      ready: () => this.#pump(),
    });
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    const { pageSamples } = this.#options;
    while (this.#queue.length >= pageSamples && this.#mayWrite()) {
      const page = this.#queue.take(pageSamples);
      this.#tail.push(page);
      this.#stream?.write(page);
    }
    const rest = this.#queue.length >= pageSamples;
    if (this.#stopped || (!rest && !this.#stream?.pending)) this.#settle();
    // WebSockets have no drain event in browsers, so look again soon.
    else if (rest && this.#stream?.ready) this.#timer = startTimer(() => this.#pump(), POLL_MS);
  }

  #mayWrite(): boolean {
    if (this.#stopped || !this.#wire || !this.#stream?.ready) return false;
    // What an encoder that stands still has taken can no longer be dropped.
    if (this.#stream.pending > MAX_ENCODING_SAMPLES) return false;
    return this.#wire.bufferedAmount <= HIGH_WATER_BYTES;
  }

  #send(data: Uint8Array, samples: number): void {
    this.#wire?.send({ type: 'audio', data });
    this.#options.onMessage();
    if (samples > 0) this.#options.onPage(samples);
    if (this.#queue.length < this.#options.pageSamples && !this.#stream?.pending) this.#settle();
  }

  /** Keeps to the limit, in whole pages: what comes then still begins where a page would. Returns the samples dropped. */
  #trim(): number {
    const { pageSamples } = this.#options;
    const excess = this.#queue.length - this.#limit;
    if (excess <= 0) return 0;
    const count = Math.min(this.#queue.length, Math.ceil(excess / pageSamples) * pageSamples);
    this.#queue.drop(count);
    this.#drop(count);
    return count;
  }

  #drop(samples: number): void {
    const ms = milliseconds(samples);
    this.#droppedMs += ms;
    this.#options.onDropped(ms);
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

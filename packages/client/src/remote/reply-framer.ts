import { FRAME_SAMPLES } from '@moshi/protocol';
import { PcmQueue } from '../pcm-queue';
import type { RemoteFrame, RemoteSayEvent } from './engine';

/** What a {@link ReplyFramer} makes. */
export interface FramerSink {
  frame(frame: RemoteFrame): void;
  say(event: RemoteSayEvent): void;
}

/** What becomes of a text, until it is its turn to be told. */
interface Held {
  readonly event: RemoteSayEvent;
  /** Of a start or word: its text has come, or should have, so it goes out with the next frame. */
  due: boolean;
}

/**
 * Makes frames of what comes in packets: sound of any length becomes frames of 1920 samples, and the text that came since the
 * last frame rides on the next one. Servers send a word's announcement, its sound and then its text, so the announcement
 * is held until the frame with the text, and the end of a text until its last piece is out.
 */
export class ReplyFramer {
  readonly #sink: FramerSink;
  readonly #sound = new PcmQueue();
  #text = '';
  #held: Held[] = [];
  #step = 0;

  constructor(sink: FramerSink) {
    this.#sink = sink;
  }

  /** Frames made since the beginning. */
  get frames(): number {
    return this.#step;
  }

  /** Characters of text that wait for a frame. */
  get waitingText(): number {
    return this.#text.length;
  }

  audio(pcm: Float32Array): void {
    this.#sound.push(pcm);
    while (this.#sound.length >= FRAME_SAMPLES) this.#frame(this.#sound.take(FRAME_SAMPLES));
  }

  text(piece: string): void {
    this.#text += piece;
    for (const held of this.#held) held.due = true;
  }

  say(event: RemoteSayEvent): void {
    this.#held.push({ event, due: false });
    if (this.#text === '') this.#tellEnds();
  }

  /** Nothing more will come: hands out all that waits, an incomplete frame filled up with silence. */
  flush(): void {
    for (const held of this.#held) held.due = true;
    const rest = this.#sound.length;
    if (rest > 0) {
      this.#sound.push(new Float32Array(FRAME_SAMPLES - rest));
      this.#frame(this.#sound.take(FRAME_SAMPLES));
    } else if (this.#text !== '') {
      this.#frame(null);
    }
    for (const { event } of this.#held.splice(0)) this.#sink.say(event);
  }

  /** Forgets sound and text, tells the ends that wait, and counts from 0 again. */
  reset(): void {
    this.#sound.clear();
    this.#text = '';
    this.#step = 0;
    for (const { event } of this.#held.splice(0)) if (event.type === 'end') this.#sink.say(event);
  }

  #frame(pcm: Float32Array | null): void {
    const due = this.#held.findLastIndex((held) => held.due && held.event.type !== 'end') + 1;
    for (const { event } of this.#held.splice(0, due)) this.#sink.say(event);
    const text = this.#text === '' ? null : this.#text;
    this.#text = '';
    if (pcm) clamp(pcm);
    const timing = { encodeMs: 0, lmMs: 0, decodeMs: 0 };
    this.#sink.frame({ step: this.#step++, pcm, text, token: -1, timing });
    this.#tellEnds();
    // Text that belongs to the frame of this very sound comes before the next one.
    for (const held of this.#held) held.due = true;
  }

  /** All their text is out. */
  #tellEnds(): void {
    while (this.#held[0]?.event.type === 'end') this.#sink.say(this.#held.shift()!.event);
  }
}

/** Opus overshoots a little. */
function clamp(pcm: Float32Array): void {
  for (let i = 0; i < pcm.length; i++) pcm[i] = Math.max(-1, Math.min(1, pcm[i]!));
}

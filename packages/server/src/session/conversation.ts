import { OggOpusDecoder } from '@moshi/opus';
import { FRAME_MS } from '@moshi/protocol';
import type { Engine, EngineFrame, EngineSession, EngineSessionOptions } from '../engine';
import type { AudioInput } from './audio-input';
import { AudioOutput } from './audio-output';

// Frames handed to the engine ahead of its answers: enough to keep it busy, few enough that pause takes effect at once.
const framesAhead = 3;

/** What a {@link Conversation} needs from its session. */
export interface ConversationHooks {
  /** Whether the client takes what it is sent; while it does not, nothing is stepped. */
  canSend(): boolean;
  /** Stop or go on reading from the client. */
  read(on: boolean): void;
  /** One frame of the user goes to the engine. */
  pushed(pcm: Float32Array): void;
  /** The engine answered; `audio` are the Ogg pages of `frame.pcm`. */
  answered(frame: EngineFrame, audio: Uint8Array | undefined): void;
  /** The incoming Ogg stream is broken; it goes on with the next whole page. */
  broken(): void;
  /** The conversation cannot go on. */
  failed(error: unknown): void;
}

/** One engine session with its codecs: paces what goes in by what comes out. */
export class Conversation {
  readonly #engine: EngineSession;
  readonly #input: AudioInput;
  readonly #output: AudioOutput;
  readonly #hooks: ConversationHooks;
  readonly #maxFrames: number;
  readonly #onFrame = (frame: EngineFrame) => this.#answer(frame);
  readonly #onError = (error: Error) => this.#hooks.failed(error);
  #held = true;
  #resetting = false;
  #pumping = false;
  #reading = true;
  #ended = false;
  #budget = Number.POSITIVE_INFINITY;
  #again: NodeJS.Immediate | undefined;

  private constructor(
    engine: EngineSession,
    input: AudioInput,
    output: AudioOutput,
    bufferedMs: number,
    hooks: ConversationHooks,
  ) {
    this.#engine = engine;
    this.#input = input;
    this.#output = output;
    this.#hooks = hooks;
    this.#maxFrames = Math.floor(bufferedMs / FRAME_MS);
    engine.on('frame', this.#onFrame);
    engine.on('error', this.#onError);
  }

  /** Opens the engine session (prompts included) and the codecs; rejects as the engine does, leaving nothing open. */
  static async open(
    engine: Engine,
    options: EngineSessionOptions,
    input: AudioInput,
    bufferedMs: number,
    hooks: ConversationHooks,
  ): Promise<Conversation> {
    const session = await engine.open(options);
    try {
      const [output, decoder] = await Promise.all([AudioOutput.create(), OggOpusDecoder.create()]);
      input.use(decoder);
      return new Conversation(session, input, output, bufferedMs, hooks);
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Whether reading from the client is stopped because enough audio waits. */
  get full(): boolean {
    return !this.#reading;
  }

  /** Steps from now on; `maxSteps` counts from here. */
  start(maxSteps = Number.POSITIVE_INFINITY): void {
    this.#budget = maxSteps;
    this.resume();
  }

  /** Takes bytes of the client's stream; while held, only their headers. */
  write(bytes: Uint8Array): void {
    if (this.#ended) return;
    if (this.#held) {
      if (this.#input.drop(bytes)) this.#hooks.broken();
      return;
    }
    this.#input.write(bytes);
    this.pump();
  }

  /** Stops stepping and drops what waits: audio kept over a pause would stay behind as delay for good. */
  hold(): void {
    this.#held = true;
    if (this.#input.drop()) this.#hooks.broken();
    this.#setReading(true);
  }

  /** Steps again. */
  resume(): void {
    this.#held = false;
    this.pump();
  }

  /** Starts anew with the same Opus stream; stays held until {@link start}. */
  async restart(): Promise<void> {
    this.#resetting = true;
    this.hold();
    await this.#engine.reset();
    this.#resetting = false;
  }

  /** Moves audio from the client to the engine as far as both sides allow. */
  pump(): void {
    if (this.#pumping || this.#held || this.#ended) return;
    this.#pumping = true;
    try {
      if (this.#input.fill(this.#maxFrames - this.#engine.queued)) this.#hooks.broken();
      while (this.#mayPush()) {
        const frame = this.#input.next();
        if (!frame) break;
        this.#budget--;
        this.#hooks.pushed(frame);
        this.#engine.push(frame);
      }
      this.#pace();
    } catch (error) {
      this.#hooks.failed(error);
    } finally {
      this.#pumping = false;
    }
  }

  /** Gives the engine's slot back and frees the codecs. Idempotent. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    clearImmediate(this.#again);
    this.#engine.off('frame', this.#onFrame);
    this.#input.free();
    this.#output.free();
    await this.#engine.close();
    this.#engine.off('error', this.#onError);
  }

  #mayPush(): boolean {
    return (
      !this.#held && !this.#ended && this.#budget > 0 && this.#engine.queued < framesAhead && this.#hooks.canSend()
    );
  }

  #pace(): void {
    if (this.#held || this.#ended) return;
    const waiting = this.#input.frames + this.#engine.queued;
    if (this.#input.backlog || waiting > this.#maxFrames) this.#setReading(false);
    else if (waiting <= this.#maxFrames / 2) this.#setReading(true);
    // An engine that answers inside push calls back while pumping: the rest then gets its own turn of the event loop.
    if ((this.#input.backlog || this.#input.frames > 0) && this.#mayPush()) {
      clearImmediate(this.#again);
      this.#again = setImmediate(() => this.pump());
    }
  }

  #setReading(on: boolean): void {
    if (this.#reading === on) return;
    this.#reading = on;
    this.#hooks.read(on);
  }

  #answer(frame: EngineFrame): void {
    if (this.#resetting || this.#ended) return;
    try {
      this.#hooks.answered(frame, frame.pcm ? this.#output.encode(frame.pcm) : undefined);
    } catch (error) {
      this.#hooks.failed(error);
      return;
    }
    this.pump();
  }
}

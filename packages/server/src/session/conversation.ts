import { OggOpusDecoder } from '@moshi/opus';
import { FRAME_MS, FRAME_SAMPLES, TextAssembler } from '@moshi/protocol';
import type { Engine, EngineFrame, EngineSayEvent, EngineSession, EngineSessionOptions } from '../engine';
import type { AudioInput } from './audio-input';
import { AudioOutput } from './audio-output';
import { Lane } from './lane';
import type { Pipes } from './pipe';
import { SilenceClock } from './silence-clock';

// Frames handed to the engine ahead of its answers: enough to keep it busy, few enough that pause takes effect at once.
const framesAhead = 3;

/** What a {@link Conversation} needs from its session. */
export interface ConversationHooks {
  /** Whether the client takes what it is sent; while it does not, nothing is stepped. */
  canSend(): boolean;
  /** Stop or go on reading from the client. */
  read(on: boolean): void;
  /** What the host of the server does with sound and text on their way. */
  readonly pipes: Pipes;
  /** Whether a text is to be spoken. */
  speaking(): boolean;
  /** One frame of the user goes to the engine. */
  pushed(pcm: Float32Array): void;
  /** A frame of the model's sound, and its Ogg pages. */
  sound(pcm: Float32Array, pages: Uint8Array): void;
  /** A piece of the model's text, byte pieces put together; it belongs to the sound before it. */
  text(piece: string): void;
  /** The engine has answered one more frame. */
  stepped(): void;
  /** What becomes of a text that was to be spoken. */
  said(event: EngineSayEvent): void;
  /** The incoming Ogg stream is broken; it goes on with the next whole page. */
  broken(): void;
  /** The engine failed: the conversation cannot go on. */
  failed(error: unknown): void;
  /** What passes sound and text on failed, a hook of the host most likely. */
  broke(error: unknown): void;
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
  readonly #onSay = (event: EngineSayEvent) => this.#toClient.pass(() => this.#hooks.said(event));
  readonly #toEngine: Lane;
  readonly #toClient: Lane;
  readonly #clock: SilenceClock;
  readonly #text = new TextAssembler();
  /** Counts what makes everything on its way to the engine obsolete: pauses and restarts. */
  #epoch = 0;
  /** Counts the restarts, which do the same to what is on its way to the client. */
  #restarts = 0;
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
    const broke = (error: unknown) => hooks.broke(error);
    this.#toEngine = new Lane(() => this.pump(), broke);
    this.#toClient = new Lane(() => this.pump(), broke);
    this.#clock = new SilenceClock(hooks.speaking, () => this.#stepSilence());
    engine.on('frame', this.#onFrame);
    engine.on('say', this.#onSay);
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

  /** The engine's side, for what goes neither through microphone nor speaker. */
  get engine(): EngineSession {
    return this.#engine;
  }

  /** Whether reading from the client is stopped because enough audio waits. */
  get full(): boolean {
    return !this.#reading;
  }

  /** Milliseconds of the user that wait to be stepped. */
  get waitingMs(): number {
    return this.#held ? 0 : (this.#input.frames + this.#engine.queued) * FRAME_MS;
  }

  /** Steps from now on; `maxSteps` counts from here. */
  start(maxSteps = Number.POSITIVE_INFINITY): void {
    this.#budget = maxSteps;
    this.resume();
  }

  /** A text is to be spoken: from now on the silence of a client that sends no audio is stepped too. */
  speak(): void {
    if (!this.#held && !this.#ended) this.#clock.start();
  }

  /** The client is there again, with a stream that begins anew. */
  reconnected(): void {
    this.#setReading(true);
    if (!this.#held && !this.#ended) this.resume();
  }

  /** Takes bytes of the client's stream; while held, only their headers. */
  write(bytes: Uint8Array): void {
    if (this.#ended) return;
    if (this.#held) {
      if (this.#input.drop(bytes)) this.#hooks.broken();
      return;
    }
    this.#clock.heard();
    this.#input.write(bytes);
    this.pump();
  }

  /** Stops stepping and drops what waits: audio kept over a pause would stay behind as delay for good. */
  hold(): void {
    this.#held = true;
    this.#epoch++;
    this.#clock.stop();
    this.#toEngine.clear();
    if (this.#input.drop()) this.#hooks.broken();
    this.#setReading(true);
  }

  /** Steps again. */
  resume(): void {
    this.#held = false;
    if (this.#hooks.speaking()) this.speak();
    this.pump();
  }

  /** Starts anew with the same Opus stream; stays held until {@link start}. */
  async restart(): Promise<void> {
    this.#resetting = true;
    this.hold();
    this.#toClient.clear();
    this.#restarts++;
    this.#endText();
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
        this.#feed(frame);
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
    this.#clock.stop();
    this.#toEngine.stop();
    this.#toClient.stop();
    this.#endText();
    this.#engine.off('frame', this.#onFrame);
    this.#engine.off('say', this.#onSay);
    this.#input.free();
    this.#output.free();
    await this.#engine.close();
    this.#engine.off('error', this.#onError);
  }

  #mayPush(): boolean {
    const ahead = this.#engine.queued + this.#toEngine.waiting;
    const room = ahead < framesAhead && this.#toClient.waiting < framesAhead;
    return !this.#held && !this.#ended && this.#budget > this.#toEngine.waiting && room && this.#hooks.canSend();
  }

  /** One frame of the user, through the host's hooks to the engine. */
  #feed(frame: Float32Array): void {
    const epoch = this.#epoch;
    this.#toEngine.pass(() =>
      this.#hooks.pipes.audio('userAudio', frame, (pcm) => {
        if (this.#ended || this.#epoch !== epoch) return;
        this.#budget--;
        this.#hooks.pushed(pcm);
        this.#push(pcm);
      }),
    );
  }

  #push(pcm: Float32Array): void {
    try {
      this.#engine.push(pcm);
    } catch (error) {
      this.#held = true;
      this.#hooks.failed(error);
    }
  }

  #stepSilence(): void {
    if (this.#input.frames > 0 || this.#input.backlog || !this.#mayPush()) return;
    this.#feed(new Float32Array(FRAME_SAMPLES));
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
    this.#toClient.pass(() => this.#deliver(frame));
    this.pump();
  }

  /** One answer through the host's hooks to the client: sound, then its text. */
  #deliver({ pcm, text }: EngineFrame): void | Promise<void> {
    const { pipes } = this.#hooks;
    const restarts = this.#restarts;
    const current = () => this.#restarts === restarts;
    const sound =
      pcm &&
      pipes.audio('modelAudio', pcm, (made) => {
        if (current()) this.#hooks.sound(made, this.#output.encode(made));
      });
    // Characters spelled as bytes are sent whole: who shows text as it comes must not show <0xE2>.
    const whole = text ? this.#text.push(text) : '';
    const piece = () =>
      whole && current()
        ? pipes.text('modelText', whole, (made) => made && current() && this.#hooks.text(made))
        : undefined;
    const stepped = () => {
      if (current()) this.#hooks.stepped();
    };
    const done = sound ? sound.then(piece) : piece();
    return done ? done.then(stepped) : stepped();
  }

  /** What is left of a character that will not be completed. */
  #endText(): void {
    const rest = this.#text.flush();
    if (rest) this.#hooks.text(rest);
  }
}

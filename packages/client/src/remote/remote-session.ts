import { FRAME_MS, FRAME_SAMPLES } from '@moshi/protocol';
import { EventEmitter } from 'eventemitter3';
import { MoshiError } from '../errors';
import type { ClosedEvent } from '../events';
import { PcmQueue } from '../pcm-queue';
import type { Session } from '../session';
import { startTimer } from '../timer';
import { RemoteEngineError, type RemoteEngineSession, type RemoteFrame, type RemoteSayEvent } from './engine';
import { ReplyFramer } from './reply-framer';
import { RemoteTexts } from './texts';

/** A server that answers so many frames it was never sent, or says so much without a sound, is out of its mind. */
const MAX_UNASKED_FRAMES = 750;
const MAX_TEXT_CHARS = 1_000_000;

/** What a {@link RemoteSession} gets from its engine. */
export interface RemoteSessionHost {
  /** Speak texts also to servers that did not announce `say`. */
  readonly forceSay: boolean;
  /** How long the server may take to begin anew, in ms; 0 is for ever. */
  readonly restartTimeoutMs: number;
  /** Connects once more, with the same voice, prompt and sampling; rejects with {@link RemoteEngineError}. */
  connect(signal: AbortSignal): Promise<Session>;
  /** The error for anything that went wrong with the server. */
  explain(cause: unknown): RemoteEngineError;
  /** The session is closed. */
  closed(): void;
}

/** One conversation of a remote engine: a client's session in the shape of an engine's. */
export class RemoteSession
  extends EventEmitter<{ frame: [RemoteFrame]; say: [RemoteSayEvent]; error: [Error] }>
  implements RemoteEngineSession
{
  say?: (text: string, options?: { floor?: 'interrupt' | 'wait' }) => number;
  cancelSay?: (id?: number) => void;
  interrupt?: () => void;
  endTurn?: () => void;
  pause?: () => void;
  resume?: () => void;
  readonly #host: RemoteSessionHost;
  readonly #abort = new AbortController();
  readonly #input = new PcmQueue();
  readonly #framer: ReplyFramer;
  readonly #texts: RemoteTexts;
  #session: Session;
  /** Frames pushed since the conversation began. */
  #pushed = 0;
  /** The last of the resets under way. */
  #resetting: Promise<void> | undefined;
  #failure: RemoteEngineError | undefined;
  #closing: Promise<void> | undefined;

  constructor(session: Session, host: RemoteSessionHost) {
    super();
    this.#host = host;
    this.#session = session;
    this.#framer = new ReplyFramer({
      frame: (frame) => this.emit('frame', frame),
      say: (event) => this.emit('say', event),
    });
    this.#texts = new RemoteTexts(host.forceSay, (event) => this.#said(event));
    this.#listen(session);
    this.#texts.begin(session);
    this.#offer(session.extensions, host.forceSay);
  }

  get queued(): number {
    const waiting = this.#ready ? Math.floor(this.#session.metrics.bufferedMs / FRAME_MS) : 0;
    return waiting + Math.floor(this.#input.length / FRAME_SAMPLES);
  }

  push(pcm: Float32Array): void {
    if (!(pcm instanceof Float32Array)) {
      throw new RemoteEngineError('ENGINE_BAD_OPTION', 'push takes a Float32Array of 24 kHz mono samples');
    }
    if (this.#closing) return;
    if (this.#failure) throw this.#failure;
    this.#input.push(pcm);
    this.#pump();
  }

  async reset(): Promise<void> {
    if (this.#closing) return;
    this.#input.clear();
    this.#texts.pause();
    const before = this.#resetting;
    const mine = (before ?? Promise.resolve()).catch(() => {}).then(() => this.#begin());
    this.#resetting = mine;
    try {
      await mine;
    } finally {
      if (this.#resetting === mine) this.#resetting = undefined;
    }
    if (!this.#ready) return;
    this.#texts.begin(this.#session);
    this.#pump();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Whether the remote server can be told anything now. */
  get #ready(): boolean {
    return !this.#closing && !this.#failure && !this.#resetting && this.#session.state.status === 'ready';
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    this.#input.clear();
    this.removeAllListeners();
    await this.#session.close();
    // A reset under way may have connected just now.
    await this.#resetting?.catch(() => {});
    await this.#session.close();
    this.#host.closed();
  }

  #pump(): void {
    while (this.#ready && this.#input.length >= FRAME_SAMPLES) {
      this.#pushed++;
      this.#session.sendAudio(this.#input.take(FRAME_SAMPLES));
    }
  }

  /** The members that not every server has. */
  #offer(extensions: ReadonlySet<string>, forceSay: boolean): void {
    const telling = (tell: () => void) => () => {
      if (this.#ready) tell();
    };
    if (extensions.has('say') || forceSay) {
      this.say = (text, options) => this.#say(text, options);
      this.cancelSay = (id) => {
        if (!this.#closing) this.#texts.cancel(id);
      };
    }
    if (extensions.has('say')) this.interrupt = telling(() => this.#session.interrupt());
    if (!extensions.has('control')) return;
    this.endTurn = telling(() => this.#session.endTurn());
    this.pause = telling(() => this.#session.pause());
    this.resume = telling(() => this.#session.resume());
  }

  #say(text: string, options?: { floor?: 'interrupt' | 'wait' }): number {
    if (this.#failure) throw this.#failure;
    try {
      return this.#texts.say(text, options);
    } catch (error) {
      throw error instanceof RemoteEngineError ? error : this.#host.explain(error);
    }
  }

  /** An end waits for the last piece of its text, but not while frames are left out. */
  #said(event: RemoteSayEvent): void {
    if (this.#closing) return;
    if (!this.#failure && !this.#resetting) this.#framer.say(event);
    else if (event.type === 'end') this.emit('say', event);
  }

  #listen(session: Session): void {
    // What comes while the conversation is reset belongs to the one before.
    const current = () => session === this.#session && !this.#resetting && !this.#failure && !this.#closing;
    session.on('audio', ({ pcm }) => {
      if (!current()) return;
      this.#framer.audio(pcm);
      this.#checkFlood();
    });
    session.on('text', ({ text }) => {
      if (!current()) return;
      this.#framer.text(text);
      this.#checkFlood();
    });
    session.on('say-start', ({ id, text }) => session === this.#session && this.#texts.heard('start', id, text));
    session.on('say-word', ({ id, word }) => session === this.#session && this.#texts.heard('word', id, word));
    session.on('say-end', ({ id, text, completed }) => {
      if (session === this.#session) this.#texts.heard('end', id, text, completed);
    });
    session.on('closed', (event) => current() && this.#onClosed(event));
  }

  #checkFlood(): void {
    if (this.#framer.frames - this.#pushed <= MAX_UNASKED_FRAMES && this.#framer.waitingText <= MAX_TEXT_CHARS) return;
    this.#fail(new RemoteEngineError('ENGINE_FAILED', 'the remote server sends far more than it was asked for'));
    void this.#session.close();
  }

  #onClosed({ error, code, reason }: ClosedEvent): void {
    const words = reason === '' ? `${code}` : `${code}, ${reason}`;
    this.#fail(this.#host.explain(error ?? new MoshiError('closed', `it ended the conversation (${words})`)));
  }

  #fail(error: RemoteEngineError): void {
    this.#framer.flush();
    this.#failure = error;
    this.#texts.pause();
    this.#texts.drop();
    this.emit('error', error);
  }

  /** A new conversation on the same connection where the server can do that, else on a new one. */
  async #begin(): Promise<void> {
    if (this.#closing) return;
    this.#framer.reset();
    try {
      const session = this.#session;
      if (session.state.status === 'ready' && session.extensions.has('restarted')) {
        await this.#restarted(session);
        this.#texts.drop();
      } else {
        this.#texts.drop();
        // Closed first: stock servers serve one caller at a time.
        await session.close();
        this.#session = await this.#host.connect(this.#abort.signal);
        this.#listen(this.#session);
      }
      this.#pushed = 0;
      this.#failure = undefined;
    } catch (cause) {
      this.#failure = cause instanceof RemoteEngineError ? cause : this.#host.explain(cause);
      this.#texts.pause();
      this.#texts.drop();
      throw this.#failure;
    }
  }

  async #restarted(session: Session): Promise<void> {
    let timer: ReturnType<typeof startTimer>;
    const { restartTimeoutMs: ms } = this.#host;
    const late = new Promise<never>((_, reject) => {
      const error = new MoshiError('silent', `it did not begin the conversation anew within ${ms} ms`);
      timer = startTimer(() => reject(error), ms);
    });
    try {
      await Promise.race([session.restart(), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

import { FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import { connect } from './connect';
import { MoshiError } from './errors';
import { EventPipe } from './event-pipe';
import type { AudioEvent, SayEndEvent, SayStartEvent, SayWordEvent, TextEvent } from './events';
import type { SessionMetrics } from './metrics';
import type { ConnectOptions } from './options';
import type { Session } from './session';
import type { SessionState } from './state';
import { startTimer } from './timer';

/** What {@link connectStream} yields. `error` is a fault the session survived; the last event of all is `metrics`. */
export type StreamEvent =
  | { readonly type: 'state'; readonly state: SessionState }
  | ({ readonly type: 'text' } & TextEvent)
  | ({ readonly type: 'audio' } & AudioEvent)
  | ({ readonly type: 'say-start' } & SayStartEvent)
  | ({ readonly type: 'say-word' } & SayWordEvent)
  | ({ readonly type: 'say-end' } & SayEndEvent)
  | { readonly type: 'metadata'; readonly metadata: unknown }
  | { readonly type: 'metrics'; readonly metrics: SessionMetrics }
  | { readonly type: 'error'; readonly error: MoshiError };

/** Options of {@link connectStream}: those of `connect`, and how far to run ahead. */
export interface StreamOptions extends Omit<ConnectOptions, 'maxBufferedMs' | 'reconnect'> {
  /** Frames of 80 ms sent ahead of what came back and was read; default 12, at least 4. */
  readonly windowFrames?: number;
  /**
   * Frames of silence sent after the input, default 3. Models answer one or two frames late, so without them the last
   * frames of the input would stay unanswered. What comes back beyond the input's length is not yielded.
   */
  readonly tailFrames?: number;
  /** Called once with the session, connected and with no audio sent yet: to let the model speak, or to listen to more of its events. */
  readonly onSession?: (session: Session) => void;
}

/** A server answers what it is asked; unread events beyond this are a flood. */
const MAX_UNREAD_EVENTS = 10_000;
const MAX_UNASKED_SAMPLES = 60 * SAMPLE_RATE;
/** When every frame is answered and nothing follows, this long without a message is the end. */
const SETTLE_MS = 1000;

/**
 * Sends recorded or generated audio and yields what comes back: as fast as the server can, never more than a window
 * ahead of it, and only as fast as the events are read. `pcmFrames` yields 24 kHz mono samples in [-1, 1] in pieces of
 * any length. Ends when every frame of input has its answer; leaving the loop early closes the session. Faults that end
 * the session are thrown as {@link MoshiError}: those of `connect`, and `silent`, `server` and `closed`.
 */
export async function* connectStream(
  url: string | URL,
  pcmFrames: AsyncIterable<Float32Array> | Iterable<Float32Array>,
  options: StreamOptions = {},
): AsyncGenerator<StreamEvent, void, undefined> {
  const stream = new Stream(options);
  const run = stream.run(url, pcmFrames);
  try {
    for (let event = await stream.next(); event !== undefined; event = await stream.next()) yield event;
  } finally {
    stream.stop();
    await run;
  }
}

class Stream {
  readonly #options: StreamOptions;
  readonly #window: number;
  readonly #tail: number;
  readonly #idleMs: number;
  readonly #pipe = new EventPipe<StreamEvent>();
  readonly #abort = new AbortController();
  /** Something happened that the stream may be waiting for; the events of this side's own clock do not count. */
  #wake: () => void = () => {};
  #session: Session | undefined;
  /** Samples given to the session, received from it, and read by the caller. */
  #sent = 0;
  #received = 0;
  #read = 0;
  /** Samples that answer the whole input; known when the input has ended. */
  #goal = Number.POSITIVE_INFINITY;
  /** Answers beyond the input came: everything that belongs to the input is here. */
  #complete = false;
  #fault: MoshiError | undefined;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#window = wholeNumber('windowFrames', options.windowFrames ?? 12, 4) * FRAME_SAMPLES;
    this.#tail = wholeNumber('tailFrames', options.tailFrames ?? 3, 0);
    this.#idleMs = options.idleTimeoutMs ?? 10_000;
  }

  /** The next event for the caller, undefined at the end. */
  async next(): Promise<StreamEvent | undefined> {
    const event = await this.#pipe.next();
    if (event?.type === 'audio') {
      this.#read += event.pcm.length;
      this.#wake();
    }
    return event;
  }

  /** The caller left: whatever is under way ends. */
  stop(): void {
    this.#abort.abort();
    this.#wake();
  }

  /** Runs the whole conversation; never rejects, faults go to the reader. */
  async run(url: string | URL, frames: AsyncIterable<Float32Array> | Iterable<Float32Array>): Promise<void> {
    const { signal, on } = this.#options;
    const onAbort = () => this.stop();
    try {
      if (signal?.aborted) this.stop();
      signal?.addEventListener('abort', onAbort);
      const state = (state: SessionState) => {
        on?.state?.(state);
        this.#pipe.push({ type: 'state', state });
        this.#wake();
      };
      const { onSession, ...others } = this.#options;
      const connection = {
        ...others,
        maxBufferedMs: Number.POSITIVE_INFINITY,
        reconnect: false as const,
        signal: this.#abort.signal,
      };
      this.#session = this.#listen(await connect(url, { ...connection, on: { ...on, state } }));
      onSession?.(this.#session);
      await this.#feed(this.#session, frames);
      await this.#untilAnswered();
      const { metrics } = this.#session;
      await this.#session.close();
      this.#pipe.push({ type: 'metrics', metrics });
      this.#pipe.end();
    } catch (error) {
      this.#pipe.end(error);
      await this.#session?.close();
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #listen(session: Session): Session {
    session.on('audio', (event) => {
      if (this.#received >= this.#goal) {
        this.#complete = true;
        return;
      }
      this.#received += event.pcm.length;
      this.#pipe.push({ type: 'audio', ...event });
    });
    session.on('text', (event) => {
      if (!this.#complete) this.#pipe.push({ type: 'text', ...event });
    });
    session.on('say-start', (event) => this.#pipe.push({ type: 'say-start', ...event }));
    session.on('say-word', (event) => this.#pipe.push({ type: 'say-word', ...event }));
    session.on('say-end', (event) => this.#pipe.push({ type: 'say-end', ...event }));
    session.on('metadata', (metadata) => this.#pipe.push({ type: 'metadata', metadata }));
    session.on('metrics', (metrics) => this.#pipe.push({ type: 'metrics', metrics }));
    // A fault that ends the session is thrown at its end; the server's own words are known before.
    session.on('error', (error) => {
      if (session.state.status === 'ready') this.#pipe.push({ type: 'error', error });
    });
    session.on('message', () => {
      const flood = this.#pipe.size > MAX_UNREAD_EVENTS || this.#received - this.#sent > MAX_UNASKED_SAMPLES;
      if (flood) this.#fault ??= new MoshiError('malformed', 'the server sends far more than it was asked for');
      this.#wake();
    });
    return session;
  }

  async #feed(session: Session, frames: AsyncIterable<Float32Array> | Iterable<Float32Array>): Promise<void> {
    const input = iterate(frames);
    try {
      for (let item = await this.#pull(input); !item.done; item = await this.#pull(input)) {
        if (!(item.value instanceof Float32Array)) throw badOption('pcmFrames must yield Float32Array pieces');
        for (let at = 0; at < item.value.length; at += FRAME_SAMPLES) {
          await this.#send(session, item.value.subarray(at, at + FRAME_SAMPLES));
        }
      }
    } catch (error) {
      // The source may be stuck in a read of its own: tell it, and do not wait for it.
      Promise.resolve(input.return?.()).catch(() => {});
      throw error;
    }
    await session.finish();
    this.#goal = Math.ceil(this.#sent / FRAME_SAMPLES) * FRAME_SAMPLES;
    this.#sent = this.#goal;
    for (let i = 0; i < this.#tail && this.#goal > 0; i++) await this.#send(session, new Float32Array(FRAME_SAMPLES));
  }

  async #send(session: Session, pcm: Float32Array): Promise<void> {
    const room = () => this.#complete || this.#sent + pcm.length - this.#read <= this.#window;
    if (!(await this.#until(room, this.#idleMs))) throw this.#silent();
    this.#check();
    session.sendAudio(pcm);
    this.#sent += pcm.length;
  }

  async #untilAnswered(): Promise<void> {
    if (!(await this.#until(() => this.#received >= this.#goal, this.#idleMs))) throw this.#silent();
    const over = () => this.#complete || this.#goal === 0 || this.#session?.state.status !== 'ready';
    await this.#until(over, SETTLE_MS);
  }

  /** True when `condition` holds; false when nothing at all happened for `idleMs`, with everything read. */
  async #until(condition: () => boolean, idleMs: number): Promise<boolean> {
    while (!condition()) {
      this.#check();
      if (!(await this.#somethingHappens(idleMs)) && this.#pipe.size === 0) return false;
    }
    return true;
  }

  #somethingHappens(idleMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = startTimer(() => resolve(false), idleMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  /** The next piece of input, unless the conversation ends while the source takes its time. */
  async #pull(input: AnyIterator): Promise<IteratorResult<Float32Array, unknown>> {
    this.#check();
    return new Promise((resolve, reject) => {
      this.#wake = () => {
        try {
          this.#check();
        } catch (error) {
          reject(error);
        }
      };
      Promise.resolve(input.next()).then(resolve, reject);
    });
  }

  /** Throws when the conversation cannot go on. */
  #check(): void {
    if (this.#fault) throw this.#fault;
    if (this.#abort.signal.aborted) {
      throw new MoshiError('aborted', 'the stream was aborted', { cause: this.#options.signal?.reason });
    }
    const state = this.#session?.state;
    if (state?.status !== 'closed') return;
    if (state.error?.cause instanceof MoshiError) throw state.error.cause;
    if (state.error) throw state.error;
    const missing = Math.round((this.#sent - this.#received) / FRAME_SAMPLES);
    throw new MoshiError(
      'closed',
      `the server ended the conversation with ${missing * FRAME_MS} ms of input unanswered`,
    );
  }

  #silent(): MoshiError {
    const missing = Math.round((this.#sent - this.#received) / FRAME_SAMPLES);
    const message = `the server stopped with ${missing} frames unanswered; if its model answers later, raise tailFrames`;
    return new MoshiError('silent', message, { retryable: true });
  }
}

type AnyIterator = AsyncIterator<Float32Array> | Iterator<Float32Array>;

function iterate(frames: AsyncIterable<Float32Array> | Iterable<Float32Array>): AnyIterator {
  if (Symbol.asyncIterator in frames) return frames[Symbol.asyncIterator]();
  return frames[Symbol.iterator]();
}

function wholeNumber(name: string, value: number, least: number): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw badOption(`${name} must be a whole number of at least ${least}, not ${String(value)}`);
}

function badOption(message: string): MoshiError {
  return new MoshiError('bad-option', message);
}

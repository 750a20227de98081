import {
  type ConnectOptions,
  connect,
  type MicrophoneOptions,
  MoshiError,
  type Session,
  type SpeakerOptions,
} from '@moshi/client';
import { CliError, ExitCode, oneLine, stage } from '../exit';
import { JobControl } from './job-control';
import { type Keyboard, Keys } from './keys';
import { Muting } from './muting';
import { SoundWatch } from './sound-watch';
import type { ChatView } from './view';

/** What {@link holdCall} needs to know. */
export interface CallOptions {
  readonly url: string;
  readonly connect: ConnectOptions;
  readonly microphone: MicrophoneOptions;
  readonly speaker: SpeakerOptions;
  readonly halfDuplex: boolean;
  /** A line for the user before the call begins. */
  readonly advice?: string;
  /** Where keys come from, if there are any. */
  readonly keyboard?: Keyboard;
  /** Ends the call as Ctrl+C does. */
  readonly signal: AbortSignal;
  /** Ends the call when it resolves. */
  readonly over: Promise<void>;
  /** What the view is called for: the server, and its model as it says itself. */
  readonly open: (title: string) => ChatView;
}

const FIGURES_MS = 80;

/** Talks until the user, the server or `over` ends it. Throws {@link CliError} when there is no connection, no sound, or the call breaks. */
export async function holdCall(options: CallOptions): Promise<void> {
  const quit = new AbortController();
  const signal = AbortSignal.any([options.signal, quit.signal]);
  const view = options.open(options.url);
  if (options.advice) view.note(options.advice);
  let call: Call | undefined;
  const keys =
    options.keyboard &&
    new Keys(options.keyboard, {
      mute: () => call?.mute(),
      interrupt: () => call?.interrupt(),
      say: (text) => (call ? call.say(text) : view.note('not yet: the server is not ready')),
      typing: (text) => view.typing(text),
      quit: () => quit.abort(),
      suspend: () => jobs?.suspend(),
    });
  const jobs =
    keys &&
    new JobControl({
      pause() {
        view.pause();
        keys.pause();
      },
      resume() {
        keys.begin();
        view.resume();
      },
    });
  try {
    const session = await join(options, view, signal);
    call = new Call(session, view, options);
    await call.run(signal);
  } finally {
    jobs?.end();
    keys?.end();
    view.end();
  }
}

function join(options: CallOptions, view: ChatView, signal: AbortSignal): Promise<Session> {
  let place: number | undefined;
  const waiting = ({ position }: { position?: number }) => {
    if (position !== undefined && position !== place) view.note(`in line, place ${position}`);
    place = position;
  };
  const usage = (error: unknown) => error instanceof MoshiError && error.code === 'bad-option';
  return connect(options.url, { ...options.connect, signal, on: { waiting } }).catch((error) =>
    stage(usage(error) ? ExitCode.usage : ExitCode.connection, () => Promise.reject(error)),
  );
}

/** One call from the moment the server is ready. */
class Call {
  readonly #session: Session;
  readonly #view: ChatView;
  readonly #options: CallOptions;
  readonly #muting: Muting;
  readonly #sound: SoundWatch;
  readonly #closed: Promise<MoshiError | undefined>;
  readonly #startedAt = performance.now();
  #behindMs = 0;

  constructor(session: Session, view: ChatView, options: CallOptions) {
    this.#session = session;
    this.#view = view;
    this.#options = options;
    this.#muting = new Muting(session, options.halfDuplex);
    this.#closed = new Promise((resolve) => session.once('closed', ({ error }) => resolve(error)));
    this.#watchSession();
    session.speaker.on('word', ({ time }) => view.heard(time));
    this.#sound = new SoundWatch(session, view, options.speaker);
  }

  /** `signal` is what ends it from this side. */
  async run(signal: AbortSignal): Promise<void> {
    const timer = setInterval(() => this.#update(), FIGURES_MS);
    let isOver = false;
    try {
      await this.#startSound(signal);
      void this.#options.over.then(() => {
        isOver = true;
        return this.#session.close();
      });
      const error = await this.#closed;
      if (error) throw new CliError(ExitCode.failed, oneLine(error), { cause: error });
      if (!isOver && !signal.aborted) this.#view.note('the server has ended the conversation');
    } finally {
      clearInterval(timer);
      this.#sound.end();
      await this.#session.close();
    }
  }

  mute(): void {
    this.#muting.toggle();
    this.#update();
  }

  say(text: string): void {
    this.#session.say(text).catch((error) => this.#view.note(`it cannot be made to say that: ${oneLine(error)}`));
  }

  interrupt(): void {
    try {
      this.#session.interrupt();
    } catch {
      // Nobody is there to be told: the connection is lost, or this server takes no orders and nothing is heard of it.
    }
    this.#view.cut();
  }

  async #startSound(signal: AbortSignal): Promise<void> {
    try {
      await this.#session.speaker.start(this.#options.speaker);
      await this.#session.microphone.start(this.#options.microphone);
    } catch (error) {
      const closed = this.#session.state.status === 'closing' || this.#session.state.status === 'closed';
      // What ended the session is the better reason.
      if (!closed && !signal.aborted) throw new CliError(ExitCode.failed, oneLine(error), { cause: error });
    }
  }

  #watchSession(): void {
    const session = this.#session;
    session.on('text', ({ text, time }) => {
      this.#view.text(text, time);
      // Without a loudspeaker nothing tells when a word is heard.
      if (session.speaker.state.status === 'off') this.#view.heard(time);
    });
    session.on('behind', ({ ms }) => {
      this.#behindMs = ms;
    });
    session.on('resumed', ({ awayMs }) => {
      this.#view.note(`the connection was gone for ${(awayMs / 1000).toFixed(1)} s; the conversation goes on`);
    });
    session.on('new-conversation', () => {
      this.#view.cut();
      this.#view.note('the connection is back, but the model remembers nothing');
    });
    session.on('error', (error) => {
      // What ends the session is told at the end, as its outcome.
      setImmediate(() => session.state.status !== 'closed' && this.#view.note(oneLine(error)));
    });
    const { trained, keepsUp } = (session.metadata ?? {}) as { trained?: unknown; keepsUp?: unknown };
    if (trained === false) this.#view.note('this model is untrained: it babbles');
    if (keepsUp === false) this.#view.note('the server is too slow for this model: it will fall behind');
  }

  #update(): void {
    this.#muting.update();
    const { microphone, speaker, metrics } = this.#session;
    const { playout, level: model } = speaker;
    const { roundTripMs } = metrics;
    this.#view.figures({
      user: microphone.level,
      model,
      silence: this.#silence(),
      seconds: (performance.now() - this.#startedAt) / 1000,
      answerMs: roundTripMs === null ? undefined : roundTripMs + playout.bufferedMs,
      bufferedMs: playout.bufferedMs,
      missedMs: playout.missedMs,
      trouble: this.#trouble(),
    });
  }

  #silence(): string {
    const { state } = this.#session.microphone;
    if (state.status === 'silent') return state.reason === 'device-lost' ? 'no microphone' : 'silent';
    return this.#muting.reason;
  }

  #trouble(): string | undefined {
    const { state } = this.#session;
    if (state.status === 'reconnecting') return 'the connection is lost: trying again';
    const behind = (this.#behindMs / 1000).toFixed(1);
    return this.#behindMs > 0 ? `the server computes too slowly: ${behind} s behind` : this.#sound.trouble;
  }
}

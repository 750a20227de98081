import { FRAME_SAMPLES, SAMPLE_RATE } from '@moshi/protocol';
import { connect } from '../connect';
import { displayUrl } from '../endpoint';
import { MoshiError } from '../errors';
import type { ClosedEvent } from '../events';
import { type ConnectOptions, resolveOptions } from '../options';
import type { Session } from '../session';
import { listVoices, publishedVoices, type Voice } from '../voices';
import {
  type RemoteEngine,
  RemoteEngineError,
  type RemoteEngineInfo,
  type RemoteEngineSession,
  type RemoteSessionOptions,
} from './engine';
import { RemoteSession } from './remote-session';

/** Options of {@link remoteEngine}: those of `connect` that concern the connection, and what the engine is to be. */
export interface RemoteEngineOptions
  extends Pick<
    ConnectOptions,
    | 'dialect'
    | 'extensions'
    | 'handshakeTimeoutMs'
    | 'idleTimeoutMs'
    | 'headers'
    | 'insecure'
    | 'webSocket'
    | 'opus'
    | 'email'
    | 'workerAuthId'
  > {
  /** Conversations at the same time, at least 1; as many as the remote server holds. Default 1. */
  readonly slots?: number;
  /** Name of the model, told to clients. Default `remote`. */
  readonly model?: string;
  /**
   * Give texts also to a server that did not announce `say`, as plain Text messages: for servers that speak those.
   * Stock servers ignore them. Default false.
   */
  readonly forceSay?: boolean;
}

const DEFAULT_RESTART_TIMEOUT_MS = 300_000;

/**
 * An engine that is another server of the Moshi family, of any dialect: `createServer({ engine: remoteEngine('ws://gpu:8998') })`
 * is a bridge. Every conversation is a connection of its own, opened with the client's voice, prompt and sampling. Texts
 * to be spoken, interrupting and ending a turn work where the remote server announces them. Nothing is connected before
 * the first `open`. Throws {@link MoshiError} `bad-option`.
 */
export function remoteEngine(url: string | URL, options: RemoteEngineOptions = {}): RemoteEngine {
  return new Remote(url, options);
}

class Remote implements RemoteEngine {
  readonly info: RemoteEngineInfo;
  readonly #url: string | URL;
  readonly #options: RemoteEngineOptions;
  /** The address as it stands in error messages of the client. */
  readonly #shown: string;
  /** Conversations, and what is opening one. */
  readonly #sessions = new Set<{ close(): Promise<void> }>();
  #closed = false;

  constructor(url: string | URL, options: RemoteEngineOptions) {
    const { slots = 1, model = 'remote', dialect, extensions = true, forceSay = false } = options;
    if (!Number.isInteger(slots) || slots < 1) {
      throw new MoshiError('bad-option', `slots is ${String(slots)}; it must be a whole number of at least 1`);
    }
    this.#url = url;
    this.#options = options;
    this.#shown = displayUrl(resolveOptions(url, options).url);
    // moshi-server can be asked for nothing at all.
    const extended = extensions && dialect !== 'moshi-server';
    const features = extended ? (['say', 'interrupt', 'endTurn'] as const) : forceSay ? (['say'] as const) : undefined;
    this.info = {
      model,
      dialect: dialect === 'personaplex' ? 'personaplex' : 'moshi',
      sampleRate: SAMPLE_RATE,
      frameSamples: FRAME_SAMPLES,
      slots,
      trained: true,
      ...(features && { features }),
      // Told to every client: the address is nobody's business.
      details: { remote: true },
    };
  }

  async open(options: RemoteSessionOptions = {}): Promise<RemoteEngineSession> {
    if (this.#closed) throw new RemoteEngineError('ENGINE_FAILED', 'the engine is closed');
    if (this.#sessions.size >= this.info.slots) {
      throw new RemoteEngineError('ENGINE_FULL', `all ${this.info.slots} places of the remote engine are taken`);
    }
    const abort = new AbortController();
    const opening = { close: async () => abort.abort() };
    this.#sessions.add(opening);
    try {
      const connection = await this.#connect(options, abort.signal);
      const session: RemoteSession = new RemoteSession(connection, {
        forceSay: this.#options.forceSay ?? false,
        restartTimeoutMs: this.#options.handshakeTimeoutMs ?? DEFAULT_RESTART_TIMEOUT_MS,
        connect: (signal) => this.#connect(options, signal),
        explain: (cause) => this.#explain(cause),
        closed: () => this.#sessions.delete(session),
      });
      this.#sessions.add(session);
      return session;
    } finally {
      this.#sessions.delete(opening);
    }
  }

  voices(): Promise<Voice[]> {
    const { dialect, headers, insecure } = this.#options;
    return listVoices(this.#url, { dialect, headers, insecure });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sessions].map((session) => session.close()));
  }

  async #connect(options: RemoteSessionOptions, signal: AbortSignal): Promise<Session> {
    checkVoice(options.voice);
    const { voice, prompt, ...sampling } = options;
    const { slots, model, forceSay, ...connection } = this.#options;
    let closed: ClosedEvent | undefined;
    try {
      const session = await connect(this.#url, {
        ...sampling,
        ...connection,
        // Empty is none; a voice or prompt that is there makes the server a PersonaPlex one.
        ...(voice && { voice }),
        ...(prompt && { prompt }),
        signal,
        // Whoever pushes looks at what is queued: nothing is dropped.
        maxBufferedMs: Number.POSITIVE_INFINITY,
        // Whoever has the engine decides what becomes of a conversation that is lost.
        reconnect: false,
        on: {
          closed: (event) => {
            closed = event;
          },
        },
      });
      if (!signal.aborted) return session;
      await session.close();
      throw new MoshiError('aborted', 'the conversation was closed while it was opened');
    } catch (cause) {
      throw this.#refused(cause, closed?.code, options);
    }
  }

  /** Why a conversation did not begin, with the code that servers go by. */
  #refused(cause: unknown, closeCode: number | undefined, { voice }: RemoteSessionOptions): RemoteEngineError {
    const { message, code } = this.#explain(cause);
    const why = cause instanceof MoshiError ? cause.code : undefined;
    if (closeCode === 1013) return new RemoteEngineError('ENGINE_FULL', message, { cause });
    if (why === 'bad-option' || closeCode === 1008)
      return new RemoteEngineError('ENGINE_BAD_OPTION', message, { cause });
    // NVIDIA's server drops whoever asks for a voice it has not, without a word.
    if (closeCode === 1006 && why === 'closed' && voice && !publishedVoices.includes(baseName(voice))) {
      const hint = `The voices that come with PersonaPlex are ${publishedVoices.join(', ')}.`;
      return new RemoteEngineError('ENGINE_BAD_OPTION', `${message} ${hint}`, { cause });
    }
    return new RemoteEngineError(code, message, { cause });
  }

  /** The server's own words where it said any, without its address. */
  #explain(cause: unknown): RemoteEngineError {
    let said = cause;
    while (said instanceof MoshiError && said.cause instanceof MoshiError) said = said.cause;
    const text = said instanceof Error ? said.message : String(said);
    const message = `remote server: ${text.replaceAll(this.#shown, 'the address')}`;
    return new RemoteEngineError('ENGINE_FAILED', message, { cause });
  }
}

/** NVIDIA's server makes a path of the name and loads what lies there: only a name may reach it. */
function checkVoice(voice: string | undefined): void {
  if (!voice || !(/[/\\:\p{Cc}]/u.test(voice) || /^\.+$/.test(voice))) return;
  throw new RemoteEngineError(
    'ENGINE_BAD_OPTION',
    `voice ${JSON.stringify(voice)}: give the name of a voice, without a folder`,
  );
}

function baseName(voice: string): string {
  return voice.replace(/\.\w+$/, '');
}

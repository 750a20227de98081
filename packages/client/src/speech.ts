import { type ClientMessage, type EventMessage, parseSayNotice, type SayNotice, sayEvent } from '@moshi/protocol';
import { MoshiError } from './errors';
import type { SessionEvents } from './events';

/** How a text is to be spoken. */
export interface SayOptions {
  /**
   * Who has the floor. `interrupt` (default): the text begins at once, in place of what the model was saying. `wait`: it begins
   * when neither side has spoken for half a second, 10 s at the latest. Texts never overlap: each follows the one before.
   */
  readonly floor?: 'interrupt' | 'wait';
  /** Takes the text back; the promise then resolves with what was spoken until then. */
  readonly signal?: AbortSignal;
  /**
   * Sends the text also to servers that did not announce `say`, as a plain text message. Stock servers ignore it; from one
   * that speaks it nothing is heard about it, so it counts as spoken once it is sent, and it cannot be taken back.
   */
  readonly force?: boolean;
}

/** What became of a text. */
export interface SayResult {
  /** What was really spoken. */
  readonly text: string;
  /** False when it was taken back, or the session ended, before its last word. */
  readonly completed: boolean;
}

/** A text on its way: its number, as the events tell it, and its end. */
export interface Saying {
  readonly id: number;
  readonly done: Promise<SayResult>;
}

type SayEvents = Pick<SessionEvents, 'say-start' | 'say-word' | 'say-end' | 'error'>;

/** What {@link Speech} needs of its session. */
export interface SpeechHost {
  /** Whether the server announced `say`. */
  announced(): boolean;
  /** Whether the session is closing or closed. */
  over(): boolean;
  /** Throws `closed` when the session is not ready. */
  send(message: ClientMessage): void;
  /** Seconds of reply audio received. */
  now(): number;
  emit<Name extends keyof SayEvents>(name: Name, event: Parameters<SayEvents[Name]>[0]): void;
}

interface Pending {
  readonly text: string;
  spoken: string;
  settle(result: SayResult | MoshiError): void;
}

const NOTHING: SayResult = { text: '', completed: false };

/** The texts of one session that its server is to speak, from the request to what became of them. */
export class Speech {
  readonly #host: SpeechHost;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(host: SpeechHost) {
    this.#host = host;
  }

  /** Asks for a text to be spoken. Throws `bad-option` or `unsupported`; `done` rejects with `server`. */
  say(text: string, { floor = 'interrupt', signal, force = false }: SayOptions = {}): Saying {
    checkSay(text, floor);
    const announced = this.#host.announced();
    if (!announced && !force) throw unsupported('speak a given text');
    const id = ++this.#lastId;
    if (signal?.aborted || this.#host.over()) return { id, done: Promise.resolve(NOTHING) };
    this.#host.send(announced ? sayEvent({ name: 'say', id, text, floor }) : { type: 'text', text });
    return { id, done: announced ? this.#follow(id, text, signal) : Promise.resolve({ text, completed: true }) };
  }

  /** Takes back one text, or all of them. Throws `bad-option`, `unsupported` or `closed`. */
  cancel(id?: number): void {
    if (id !== undefined && !(Number.isSafeInteger(id) && id >= 0)) {
      throw new MoshiError('bad-option', `cancelSay takes the number of a text of this session, not ${id}`);
    }
    this.#ask('take texts back', sayEvent(id === undefined ? { name: 'say-cancel' } : { name: 'say-cancel', id }));
  }

  /** Takes back all texts and stops the model. Throws `unsupported` or `closed`. */
  interrupt(): void {
    this.#ask('be interrupted', sayEvent({ name: 'interrupt' }));
  }

  /** Takes note of an event of the server, if it is one about texts. */
  hear(message: EventMessage): void {
    let notice: SayNotice | undefined;
    try {
      notice = parseSayNotice(message);
    } catch (cause) {
      const text = `a message could not be read: ${(cause as Error).message}`;
      this.#host.emit('error', new MoshiError('malformed', text, { cause }));
    }
    if (notice) this.#tell(notice);
  }

  /** The session is over: what was not spoken will not be. */
  end(): void {
    for (const { spoken: text, settle } of [...this.#pending.values()]) settle({ text, completed: false });
  }

  #follow(id: number, text: string, signal: AbortSignal | undefined): Promise<SayResult> {
    const done = new Promise<SayResult>((resolve, reject) => {
      const onAbort = () => this.#takeBack(id);
      const settle = (result: SayResult | MoshiError) => {
        this.#pending.delete(id);
        signal?.removeEventListener('abort', onAbort);
        if (result instanceof MoshiError) reject(result);
        else resolve(result);
      };
      signal?.addEventListener('abort', onAbort);
      this.#pending.set(id, { text, spoken: '', settle });
    });
    return unwatched(done);
  }

  #tell(notice: SayNotice): void {
    const { id } = notice;
    const pending = this.#pending.get(id);
    switch (notice.name) {
      case 'say-start':
        this.#host.emit('say-start', { id, text: notice.text });
        return;
      case 'say-word':
        if (pending) pending.spoken = withWord(pending, notice.word);
        this.#host.emit('say-word', { id, word: notice.word, time: this.#host.now() });
        return;
      case 'say-end':
        pending?.settle({ text: notice.text, completed: notice.completed });
        this.#host.emit('say-end', { id, text: notice.text, completed: notice.completed });
        return;
      default:
        pending?.settle(new MoshiError('server', notice.message));
        this.#host.emit('say-end', { id, ...NOTHING });
    }
  }

  #takeBack(id: number): void {
    try {
      this.cancel(id);
    } catch {
      // The session is closing: its end settles the text.
    }
  }

  #ask(what: string, message: ClientMessage): void {
    if (!this.#host.announced()) throw unsupported(what);
    this.#host.send(message);
  }
}

/** The same promise, whose failure is nobody's fault when nobody waits for it. */
export function unwatched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Throws `bad-option` for what no server speaks. */
function checkSay(text: unknown, floor: unknown): void {
  if (typeof text !== 'string' || text.trim() === '') {
    throw new MoshiError('bad-option', 'say takes a text with at least one word in it');
  }
  if (floor !== 'interrupt' && floor !== 'wait') {
    throw new MoshiError('bad-option', `floor must be 'interrupt' or 'wait', not ${String(floor)}`);
  }
}

/** What was spoken with one word more; of a server that goes on without end no more is kept than was asked for. */
function withWord({ text, spoken }: Pending, word: string): string {
  const more = spoken === '' ? word : `${spoken} ${word}`;
  return more.length <= text.length ? more : spoken;
}

function unsupported(what: string): MoshiError {
  return new MoshiError('unsupported', `this server did not announce that it can ${what}; stock servers cannot`);
}

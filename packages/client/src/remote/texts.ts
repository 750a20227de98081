import type { Saying, SayResult } from '../speech';
import { RemoteEngineError, type RemoteSayEvent } from './engine';

/** The limits that engines have of their own: told at once rather than by the remote server later. */
const MAX_CHARS = 10_000;
const MAX_WAITING = 100;

/** The part of a client's session that texts need. */
export interface TextsSession {
  readonly extensions: ReadonlySet<string>;
  startSay(text: string, options: { floor?: 'interrupt' | 'wait'; force: boolean }): Saying;
  cancelSay(id: number): void;
}

interface Asked {
  readonly id: number;
  readonly text: string;
  readonly floor?: 'interrupt' | 'wait';
}

const NOTHING: SayResult = { text: '', completed: false };

/**
 * The texts of one engine session that a remote server is to speak. The engine's numbers count from 1 over all connections
 * of the session, while every connection has numbers of its own.
 */
export class RemoteTexts {
  readonly #force: boolean;
  readonly #tell: (event: RemoteSayEvent) => void;
  #session: TextsSession | undefined;
  #lastId = 0;
  /** Asked for while there was no conversation. */
  #waiting: Asked[] = [];
  /** The engine's number by the connection's. */
  readonly #running = new Map<number, number>();

  /** `force`: also give texts to a server that did not announce that it speaks them. */
  constructor(force: boolean, tell: (event: RemoteSayEvent) => void) {
    this.#force = force;
    this.#tell = tell;
  }

  /** There is a conversation: what waited goes to it. */
  begin(session: TextsSession): void {
    this.#session = session;
    for (const asked of this.#waiting.splice(0)) {
      try {
        this.#give(asked, session);
      } catch {
        // A new connection may lead to a server that can do less.
        this.#end(asked.id, NOTHING);
      }
    }
  }

  /** The conversation is to begin anew: what comes from now on waits, what waits already is dropped. */
  pause(): void {
    this.#session = undefined;
    for (const { id } of this.#waiting.splice(0)) this.#end(id, NOTHING);
  }

  /** What the server was given will not be spoken any more. */
  drop(): void {
    const ids = [...this.#running.values()];
    this.#running.clear();
    for (const id of ids) this.#end(id, NOTHING);
  }

  /** Takes a text; returns its number. Throws `ENGINE_BAD_OPTION` for what no engine speaks, and what the session throws. */
  say(text: string, { floor }: { floor?: 'interrupt' | 'wait' } = {}): number {
    if (typeof text !== 'string' || text.trim() === '') throw bad('say needs a text with at least one word in it');
    if (text.length > MAX_CHARS)
      throw bad(`the text has ${text.length} characters; at most ${MAX_CHARS} can be spoken`);
    if (floor !== undefined && floor !== 'interrupt' && floor !== 'wait')
      throw bad("floor must be 'interrupt' or 'wait'");
    if (this.#running.size + this.#waiting.length >= MAX_WAITING) {
      throw bad(`${MAX_WAITING} texts are waiting to be spoken; give more when some have ended`);
    }
    const asked: Asked = { id: this.#lastId + 1, text, floor };
    if (this.#session) this.#give(asked, this.#session);
    else this.#waiting.push(asked);
    this.#lastId = asked.id;
    return asked.id;
  }

  /** Takes back one text, or all of them; the server tells the ends of those it was given. */
  cancel(id?: number): void {
    const taken = (other: number) => id === undefined || other === id;
    const dropped = this.#waiting.filter((asked) => taken(asked.id));
    this.#waiting = this.#waiting.filter((asked) => !taken(asked.id));
    for (const asked of dropped) this.#end(asked.id, NOTHING);
    for (const [remoteId, own] of this.#running) if (taken(own)) this.#session?.cancelSay(remoteId);
  }

  /** What the server tells of one of its texts; those it was not given here are of no interest. */
  heard(type: RemoteSayEvent['type'], remoteId: number, text: string, completed = false): void {
    const id = this.#running.get(remoteId);
    if (id === undefined) return;
    if (type === 'end') {
      this.#running.delete(remoteId);
      this.#end(id, { text, completed });
    } else {
      this.#tell({ type, id, text });
    }
  }

  /** Throws what the session throws. */
  #give({ id, text, floor }: Asked, session: TextsSession): void {
    const saying = session.startSay(text, { ...(floor && { floor }), force: this.#force });
    if (!session.extensions.has('say')) {
      // Nothing is heard of it any more.
      saying.done.then((result) => this.#end(id, result));
      return;
    }
    this.#running.set(saying.id, id);
  }

  #end(id: number, { text, completed }: SayResult): void {
    this.#tell({ type: 'end', id, text, completed });
  }
}

function bad(message: string): RemoteEngineError {
  return new RemoteEngineError('ENGINE_BAD_OPTION', message);
}

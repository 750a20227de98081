import type { SayFloor, SayNotice } from '@moshi/protocol';
import type { EngineSayEvent, EngineSession } from '../engine';
import { errorMessage, ServerError } from '../errors';

/** What was spoken of a text in the end. */
export interface SayResult {
  /** What was really spoken. */
  text: string;
  /** False when it was cancelled, or the conversation ended, before its last word. */
  completed: boolean;
}

/** What becomes of a text, to listeners of the server's session. */
export interface SayNoticeEvent {
  type: 'start' | 'word' | 'end';
  /** The client's own number, or one below 0 when it gave none. */
  id: number;
  /** start: the whole text; word: that word; end: what was really spoken. */
  text: string;
  /** Of `end`: false when it was cancelled before its last word. */
  completed?: boolean;
}

interface Request {
  readonly id: number;
  readonly text: string;
  readonly floor: SayFloor;
  readonly resolve: (result: SayResult) => void;
  readonly reject: (error: unknown) => void;
  spoken: string[];
}

/** Texts that may wait for a conversation that has not begun, and how many characters each may have, as in an engine. */
const maxWaiting = 100;
const maxCharacters = 10_000;

/** The texts of one session that are to be spoken: those of its client and those of its host, before and while it is live. */
export class Speech {
  readonly #tell: (notice: SayNotice) => void;
  #engine: EngineSession | undefined;
  #waiting: Request[] = [];
  /** By the engine's number. */
  readonly #running = new Map<number, Request>();
  #lastOwn = 0;
  #ended = false;

  /** `tell` gets every notice of a text, with the number its asker knows it by. */
  constructor(tell: (notice: SayNotice) => void) {
    this.#tell = tell;
  }

  /** Texts that have not ended. */
  get pending(): number {
    return this.#waiting.length + this.#running.size;
  }

  /** The conversation is there: what waited is given to it. */
  begin(engine: EngineSession): void {
    this.#engine = engine;
    for (const request of this.#waiting.splice(0)) this.#give(request, engine);
  }

  /** Speaks a text after those before it; `id` is the client's number for it. Rejects when it cannot be spoken. */
  say(
    text: string,
    { id = --this.#lastOwn, floor = 'interrupt' }: { id?: number; floor?: SayFloor } = {},
  ): {
    id: number;
    done: Promise<SayResult>;
  } {
    const done = new Promise<SayResult>((resolve, reject) => {
      const request: Request = { id, text, floor, resolve, reject, spoken: [] };
      if (this.#ended) {
        resolve({ text: '', completed: false });
      } else if ([...this.#waiting, ...this.#running.values()].some((other) => other.id === id)) {
        this.#refuse(
          request,
          new ServerError('BAD_OPTION', `text ${id} is still being spoken: give each its own number`),
        );
      } else if (this.#engine) {
        this.#give(request, this.#engine);
      } else if (text.length > maxCharacters) {
        const message = `the text has ${text.length} characters; at most ${maxCharacters} can be spoken at once`;
        this.#refuse(request, new ServerError('BAD_OPTION', message));
      } else if (this.#waiting.length >= maxWaiting) {
        this.#refuse(request, new ServerError('BAD_OPTION', `${maxWaiting} texts wait for the conversation to begin`));
      } else {
        this.#waiting.push(request);
      }
    });
    // Who does not wait for the end has no use for its failure.
    done.catch(() => {});
    return { id, done };
  }

  /** Takes back the text with this number, or all. */
  cancel(id?: number): void {
    const taken = (request: Request) => id === undefined || request.id === id;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((request) => !taken(request));
    for (const request of waiting) if (taken(request)) this.#finish(request, { text: '', completed: false });
    if (id === undefined) {
      this.#engine?.cancelSay?.();
      return;
    }
    for (const [number, request] of this.#running) if (taken(request)) this.#engine?.cancelSay?.(number);
  }

  /** Takes back all, and the model stops speaking. */
  interrupt(): void {
    this.cancel();
    this.#engine?.interrupt?.();
  }

  /** What the engine tells. */
  heard({ type, id: number, text, completed = false }: EngineSayEvent): void {
    const request = this.#running.get(number);
    if (!request) return;
    if (type === 'start') {
      this.#tell({ name: 'say-start', id: request.id, text });
    } else if (type === 'word') {
      request.spoken.push(text);
      this.#tell({ name: 'say-word', id: request.id, word: text });
    } else {
      this.#running.delete(number);
      this.#finish(request, { text, completed });
    }
  }

  /** The conversation is about to begin anew: texts that come from now on wait for that. */
  restarting(): void {
    this.#engine = undefined;
  }

  /** Nothing of the old conversation is spoken any more; {@link begin} follows. */
  restarted(): void {
    for (const [number, request] of this.#running) {
      this.#running.delete(number);
      this.#finish(request, { text: request.spoken.join(' '), completed: false });
    }
  }

  /** The session is over: what was not spoken will not be. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const request of [...this.#running.values(), ...this.#waiting]) {
      request.resolve({ text: request.spoken.join(' '), completed: false });
    }
    this.#running.clear();
    this.#waiting = [];
  }

  #give(request: Request, engine: EngineSession): void {
    try {
      if (!engine.say) throw new ServerError('UNSUPPORTED', 'This engine cannot speak a given text.');
      this.#running.set(engine.say(request.text, { floor: request.floor }), request);
    } catch (error) {
      this.#refuse(request, error);
    }
  }

  #refuse(request: Request, error: unknown): void {
    this.#tell({ name: 'say-error', id: request.id, message: errorMessage(error) });
    request.reject(error);
  }

  #finish(request: Request, result: SayResult): void {
    this.#tell({ name: 'say-end', id: request.id, ...result });
    request.resolve(result);
  }
}

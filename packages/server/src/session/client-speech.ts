import { type Message, type SayNotice, type SayRequest, sayEvent } from '@moshi/protocol';
import type { EngineSession, SayOptions } from '../engine';
import { errorMessage } from '../errors';
import { Lane } from './lane';
import type { Pipes } from './pipe';
import { type SayNoticeEvent, type SayResult, Speech } from './speech';

/** What happens around {@link ClientSpeech}. */
export interface ClientSpeechOptions {
  readonly pipes: Pipes;
  send(message: Message): void;
  /** The client understands event messages. */
  readonly extensions: boolean;
  /** A text came from the client, before any hook. */
  onText(text: string): void;
  /** What becomes of a text. */
  onSay(event: SayNoticeEvent): void;
  /** A text was accepted: it needs frames to be spoken. */
  onPending(): void;
  /** A hook failed. */
  onBroken(error: unknown): void;
}

/** Texts, and characters of them, that may wait for hooks. */
const maxHooked = { texts: 100, characters: 1_000_000 };

/** A text of the client on its way through hooks. */
interface HookedText {
  /** The client's number, if it gave one. */
  readonly id?: number;
  readonly text: string;
  /** The client took it back. */
  taken?: boolean;
}

/** Texts to be spoken, between a client that sends them in one form or the other, hooks, and the engine. */
export class ClientSpeech {
  readonly #options: ClientSpeechOptions;
  readonly #speech = new Speech((notice) => this.#notice(notice));
  /** Texts on their way through hooks. */
  readonly #texts: Lane;
  readonly #hooked = new Set<HookedText>();
  #ended = false;

  constructor(options: ClientSpeechOptions) {
    this.#options = options;
    this.#texts = new Lane(
      () => {},
      (error) => options.onBroken(error),
    );
  }

  /** Whether a text has not ended. */
  get pending(): boolean {
    return this.#speech.pending > 0;
  }

  /** What the engine and the conversation tell. */
  get engine(): Pick<Speech, 'heard' | 'restarting' | 'restarted'> {
    return this.#speech;
  }

  begin(engine: EngineSession): void {
    this.#speech.begin(engine);
    if (this.pending) this.#options.onPending();
  }

  /** A text message of the client. Refusals are told as Error messages. */
  text(text: string): void {
    this.#hook({ text }, (made) => made && this.#speak(made));
  }

  /** An event of the client. */
  request(request: SayRequest): void {
    if (request.name === 'interrupt') {
      this.#takeBack();
      this.#speech.interrupt();
    } else if (request.name === 'say-cancel') {
      this.#takeBack(request.id);
      this.#speech.cancel(request.id);
    } else {
      const { id, text, floor } = request;
      this.#hook({ id, text }, (made) => {
        if (made) this.#speak(made, { id, floor });
        else this.#notice({ name: 'say-end', id, text: '', completed: false });
      });
    }
  }

  /** A text of the host. */
  async say(text: string, { signal, floor }: SayOptions & { signal?: AbortSignal }): Promise<SayResult> {
    if (signal?.aborted) return { text: '', completed: false };
    const { id, done } = this.#speech.say(text, { floor });
    this.#options.onPending();
    const onAbort = () => this.#speech.cancel(id);
    signal?.addEventListener('abort', onAbort, { once: true });
    return await done.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  cancel(): void {
    this.#speech.cancel();
  }

  interrupt(): void {
    this.#speech.interrupt();
  }

  /** The session is over. */
  end(): void {
    this.#ended = true;
    this.#texts.stop();
    this.#speech.end();
  }

  /** Passes a text of the client through the hooks; `use` gets nothing when one of them, or the client, took it away. */
  #hook(one: HookedText, use: (made: string | undefined) => void): void {
    const characters = [...this.#hooked].reduce((sum, { text }) => sum + text.length, one.text.length);
    if (this.#hooked.size >= maxHooked.texts || characters > maxHooked.characters) {
      const message = 'Too much text waits to be spoken: wait for what was sent before.';
      if (one.id === undefined || !this.#options.extensions) this.#options.send({ type: 'error', message });
      else this.#notice({ name: 'say-error', id: one.id, message });
      return;
    }
    this.#options.onText(one.text);
    this.#hooked.add(one);
    const done = (made?: string) => {
      this.#hooked.delete(one);
      use(one.taken ? undefined : made);
    };
    this.#texts.pass(() => (one.taken ? done() : this.#options.pipes.text('userText', one.text, done)));
  }

  /** The client takes texts back that are still with the hooks; what the host takes back is only what they let through. */
  #takeBack(id?: number): void {
    for (const one of this.#hooked) if (id === undefined || one.id === id) one.taken = true;
  }

  #speak(text: string, options?: { id: number; floor?: SayOptions['floor'] }): void {
    if (this.#ended) return;
    const { done } = this.#speech.say(text, options);
    if (!options) done.catch((error) => this.#options.send({ type: 'error', message: errorMessage(error) }));
    this.#options.onPending();
  }

  #notice(notice: SayNotice): void {
    if (this.#ended) return;
    if (this.#options.extensions) this.#options.send(sayEvent(notice));
    const { id } = notice;
    switch (notice.name) {
      case 'say-start':
        this.#options.onSay({ type: 'start', id, text: notice.text });
        break;
      case 'say-word':
        this.#options.onSay({ type: 'word', id, text: notice.word });
        break;
      case 'say-end':
        this.#options.onSay({ type: 'end', id, text: notice.text, completed: notice.completed });
    }
  }
}

import { type SayNotice, type SayRequest, sayEvent } from '@moshi/protocol';
import type { EngineSession, SayOptions } from '../engine';
import { errorMessage } from '../errors';
import { Lane } from './lane';
import type { Outbox } from './outbox';
import type { Pipes } from './pipe';
import { type SayNoticeEvent, type SayResult, Speech } from './speech';

/** What happens around {@link ClientSpeech}. */
export interface ClientSpeechOptions {
  readonly pipes: Pipes;
  readonly outbox: Outbox;
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

/** Texts to be spoken, between a client that sends them in one form or the other, hooks, and the engine. */
export class ClientSpeech {
  readonly #options: ClientSpeechOptions;
  readonly #speech = new Speech((notice) => this.#notice(notice));
  /** Texts on their way through hooks. */
  readonly #texts: Lane;
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
  get engine(): Pick<Speech, 'heard' | 'restarted'> {
    return this.#speech;
  }

  begin(engine: EngineSession): void {
    this.#speech.begin(engine);
    if (this.pending) this.#options.onPending();
  }

  /** A text message of the client. Refusals are told as Error messages. */
  text(text: string): void {
    this.#options.onText(text);
    this.#texts.pass(() => this.#options.pipes.text('userText', text, (made) => made && this.#speak(made)));
  }

  /** An event of the client. Refusals of its texts are told as notices. */
  request(request: SayRequest): void {
    if (request.name === 'interrupt') {
      this.#speech.interrupt();
    } else if (request.name === 'say-cancel') {
      this.#speech.cancel(request.id);
    } else {
      const { id, text, floor } = request;
      this.#options.onText(text);
      this.#texts.pass(() =>
        this.#options.pipes.text('userText', text, (made) => {
          if (made) this.#speak(made, { id, floor });
          else this.#notice({ name: 'say-end', id, text: '', completed: false });
        }),
      );
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

  #speak(text: string, options?: { id: number; floor?: SayOptions['floor'] }): void {
    if (this.#ended) return;
    const { done } = this.#speech.say(text, options);
    if (!options) done.catch((error) => this.#options.outbox.send({ type: 'error', message: errorMessage(error) }));
    this.#options.onPending();
  }

  #notice(notice: SayNotice): void {
    if (this.#ended) return;
    if (this.#options.extensions) this.#options.outbox.send(sayEvent(notice));
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

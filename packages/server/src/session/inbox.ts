import { type ControlAction, decodeMessage, type Message, parseSayRequest, type SayRequest } from '@moshi/protocol';
import { errorMessage } from '../errors';

/** Who takes the messages that mean something. */
export interface InboxHandlers {
  /** Bytes of the client's Ogg Opus stream. */
  audio(bytes: Uint8Array): void;
  control(action: ControlAction): void;
  /** A text to be spoken. */
  text(text: string): void;
  /** The same with a number, and what else there is to ask about spoken text. */
  request(request: SayRequest): void;
  /** An event that makes no sense, in words for the client. */
  refused(message: string): void;
  /** A message of this kind was ignored for the first time. */
  ignored(what: string, why?: string): void;
}

/** Sorts what comes in over the WebSocket; whatever has no meaning here is ignored and counted, never an error. */
export class Inbox {
  readonly #handlers: InboxHandlers;
  readonly #kinds = new Set<string>();
  #ignored = 0;

  constructor(handlers: InboxHandlers) {
    this.#handlers = handlers;
  }

  /** Messages ignored so far. */
  get ignored(): number {
    return this.#ignored;
  }

  /** Takes one WebSocket message. Never throws. */
  receive(data: Buffer, isBinary: boolean): void {
    if (!isBinary) this.ignore('a text frame');
    else if (data.length === 0) this.ignore('an empty message');
    else this.#sort(data);
  }

  /** Counts a message that has no meaning here or now. */
  ignore(what: string, why?: string): void {
    this.#ignored++;
    // Told once of each kind: a client must not be able to fill the log.
    if (this.#kinds.has(what)) return;
    this.#kinds.add(what);
    this.#handlers.ignored(what, why);
  }

  #sort(data: Buffer): void {
    let message: Message;
    try {
      message = decodeMessage(data);
    } catch (error) {
      this.ignore(`a broken message of type ${data[0]}`, errorMessage(error));
      return;
    }
    switch (message.type) {
      case 'audio':
        this.#handlers.audio(message.data);
        break;
      case 'control':
        this.#handlers.control(message.action);
        break;
      case 'text':
        // Clients send empty pieces; they mean nothing.
        if (message.text.trim() !== '') this.#handlers.text(message.text);
        break;
      case 'event':
        this.#event(message);
        break;
      case 'ping':
        break;
      default:
        this.ignore(`a message of type ${data[0]}`);
    }
  }
  #event(message: Extract<Message, { type: 'event' }>): void {
    try {
      const request = parseSayRequest(message);
      if (request) this.#handlers.request(request);
      else this.ignore('an event this server does not know');
    } catch (error) {
      this.#handlers.refused(errorMessage(error));
    }
  }
}

import { ProtocolError } from './errors';
import type { EventMessage } from './messages';

/** Who has the floor when a text is to be spoken: it begins at once, or when neither side is talking. */
export type SayFloor = 'interrupt' | 'wait';

/** What a client asks about text to be spoken; `id` is the client's own, a whole number from 0. */
export type SayRequest =
  | { readonly name: 'say'; readonly id: number; readonly text: string; readonly floor?: SayFloor }
  | { readonly name: 'say-cancel'; readonly id?: number }
  | { readonly name: 'interrupt' };

/**
 * What a server tells about text to be spoken. `id` is that of the request; texts nobody numbered (sent as plain text, or
 * the server's own) count down from -1. `text` of `say-end` is what was really spoken.
 */
export type SayNotice =
  | { readonly name: 'say-start'; readonly id: number; readonly text: string }
  | { readonly name: 'say-word'; readonly id: number; readonly word: string }
  | { readonly name: 'say-end'; readonly id: number; readonly text: string; readonly completed: boolean }
  | { readonly name: 'say-error'; readonly id: number; readonly message: string };

/** The event message of a request or a notice. */
export function sayEvent({ name, ...data }: SayRequest | SayNotice): EventMessage {
  return { type: 'event', name, data };
}

/** Reads what a client sent; undefined for other events. Throws {@link ProtocolError} (`malformed`) on data of another shape. */
export function parseSayRequest({ name, data }: EventMessage): SayRequest | undefined {
  const fields = new Fields(name, data);
  switch (name) {
    case 'say': {
      const floor = fields.optional('floor', (value) => value === 'interrupt' || value === 'wait');
      return {
        name,
        id: fields.id(0),
        text: fields.text('text'),
        ...(floor !== undefined && { floor: floor as SayFloor }),
      };
    }
    case 'say-cancel': {
      const id = fields.optional('id', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
      return { name, ...(id !== undefined && { id: id as number }) };
    }
    case 'interrupt':
      return { name };
    default:
      return undefined;
  }
}

/** Reads what a server sent; undefined for other events. Throws {@link ProtocolError} (`malformed`) on data of another shape. */
export function parseSayNotice({ name, data }: EventMessage): SayNotice | undefined {
  const fields = new Fields(name, data);
  switch (name) {
    case 'say-start':
      return { name, id: fields.id(), text: fields.text('text') };
    case 'say-word':
      return { name, id: fields.id(), word: fields.text('word') };
    case 'say-end':
      return { name, id: fields.id(), text: fields.text('text'), completed: fields.flag('completed') };
    case 'say-error':
      return { name, id: fields.id(), message: fields.text('message') };
    default:
      return undefined;
  }
}

/** The data of an event, each field checked when it is read. */
class Fields {
  readonly #name: string;
  readonly #data: Record<string, unknown>;

  constructor(name: string, data: unknown) {
    this.#name = name;
    this.#data = typeof data === 'object' && data !== null ? { ...data } : {};
  }

  id(least = Number.MIN_SAFE_INTEGER): number {
    const { id } = this.#data;
    if (!Number.isSafeInteger(id) || (id as number) < least) throw this.#bad('id', 'a whole number');
    return id as number;
  }

  text(key: string): string {
    const value = this.#data[key];
    if (typeof value !== 'string') throw this.#bad(key, 'a text');
    return value;
  }

  flag(key: string): boolean {
    const value = this.#data[key];
    if (typeof value !== 'boolean') throw this.#bad(key, 'true or false');
    return value;
  }

  optional(key: string, good: (value: unknown) => boolean): unknown {
    const value = this.#data[key];
    if (value === undefined || value === null) return undefined;
    if (!good(value)) throw this.#bad(key, 'one of its values');
    return value;
  }

  #bad(key: string, what: string): ProtocolError {
    return new ProtocolError('malformed', `event "${this.#name}": ${key} must be ${what}`);
  }
}

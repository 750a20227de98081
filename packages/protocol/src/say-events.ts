import { EventFields } from './event-fields';
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
export function parseSayRequest(message: EventMessage): SayRequest | undefined {
  const { name } = message;
  const fields = new EventFields(message);
  switch (name) {
    case 'say': {
      const floor = fields.optional('floor', (value) => value === 'interrupt' || value === 'wait');
      return {
        name,
        id: fields.whole('id', 0),
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
export function parseSayNotice(message: EventMessage): SayNotice | undefined {
  const { name } = message;
  const fields = new EventFields(message);
  switch (name) {
    case 'say-start':
      return { name, id: fields.whole('id'), text: fields.text('text') };
    case 'say-word':
      return { name, id: fields.whole('id'), word: fields.text('word') };
    case 'say-end':
      return { name, id: fields.whole('id'), text: fields.text('text'), completed: fields.flag('completed') };
    case 'say-error':
      return { name, id: fields.whole('id'), message: fields.text('message') };
    default:
      return undefined;
  }
}

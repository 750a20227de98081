import { ProtocolError } from './errors';
import { EventFields } from './event-fields';
import type { EventMessage } from './messages';

/**
 * How a client takes up a conversation whose connection was lost: it connects anew with the token it was given last and
 * the number of binary messages it has received after the handshake, of all connections of this conversation.
 */
export interface ResumeRequest {
  readonly token: string;
  readonly received: number;
}

/**
 * What a server tells about it, always before the handshake. `resumable`: for `graceMs` after a loss the conversation is
 * kept for whoever brings the token. `resumed`: it goes on with message number `next` (the first is 1), `replayed` of
 * them being late; `heard` is how many samples of the user, at 24 kHz, have arrived since the conversation began, and
 * `taken` how many messages other than audio. `not-resumed`: a new conversation begins.
 */
export type ResumeNotice =
  | { readonly name: 'resumable'; readonly token: string; readonly graceMs: number }
  | {
      readonly name: 'resumed';
      readonly heard: number;
      readonly next: number;
      readonly replayed?: number;
      readonly taken?: number;
    }
  | { readonly name: 'not-resumed'; readonly reason: ResumeRefusal };

/** Why a conversation is not taken up: nobody knows the token, its time is over, or more was missed than is kept. */
export type ResumeRefusal = 'unknown' | 'expired' | 'gap';

/** The close code of a client that comes back at once: the server keeps the conversation as after a loss. */
export const CLOSE_RESUMING = 4005;

const MAX_TOKEN_CHARACTERS = 200;

/** It stands in an address. */
function isToken(text: string): boolean {
  return /^[\w-]+$/.test(text) && text.length <= MAX_TOKEN_CHARACTERS;
}

/** The query parameters of a request. */
export function resumeQuery({ token, received }: ResumeRequest): [name: string, value: string][] {
  return [
    ['resume', token],
    ['received', String(received)],
  ];
}

/** Reads them, on the server's side; neither field when nothing is asked for, `problem` is one sentence about bad values. */
export function parseResumeQuery(query: URLSearchParams): { request?: ResumeRequest; problem?: string } {
  const tokens = query.getAll('resume');
  const counts = query.getAll('received');
  const [token, count] = [tokens[0], counts[0]];
  if (token === undefined) return {};
  if (tokens.length > 1 || count === undefined || counts.length > 1) {
    return { problem: 'resume and received must be given together, once each.' };
  }
  if (!isToken(token)) {
    return { problem: 'resume is no token; give the one of the last resumable event.' };
  }
  const received = /^\d{1,15}$/.test(count) ? Number(count) : Number.NaN;
  if (Number.isNaN(received)) return { problem: 'received must be the number of messages received, 0 or more.' };
  return { request: { token, received } };
}

/** The event message of a notice. */
export function resumeEvent({ name, ...data }: ResumeNotice): EventMessage {
  return { type: 'event', name, data };
}

/** Reads what a server sent; undefined for other events. Throws {@link ProtocolError} (`malformed`) on data of another shape. */
export function parseResumeNotice(message: EventMessage): ResumeNotice | undefined {
  const { name } = message;
  const fields = new EventFields(message);
  const count = (key: string) => fields.optional(key, (value) => Number.isSafeInteger(value) && (value as number) >= 0);
  switch (name) {
    case 'resumable': {
      const token = fields.text('token');
      if (!isToken(token))
        throw new ProtocolError('malformed', 'event "resumable": token must be up to 200 of A-Z a-z 0-9 _ -');
      return { name, token, graceMs: fields.whole('graceMs', 0) };
    }
    case 'resumed': {
      const [replayed, taken] = [count('replayed'), count('taken')] as (number | undefined)[];
      return {
        name,
        heard: fields.whole('heard', 0),
        next: fields.whole('next', 1),
        ...(replayed !== undefined && { replayed }),
        ...(taken !== undefined && { taken }),
      };
    }
    case 'not-resumed': {
      const reason = fields.text('reason');
      return { name, reason: reason === 'expired' || reason === 'gap' ? reason : 'unknown' };
    }
    default:
      return undefined;
  }
}

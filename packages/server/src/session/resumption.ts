import { createHash, randomBytes } from 'node:crypto';
import type { ResumeRefusal } from '@moshi/protocol';

/** Tokens of conversations that are over, so that their clients can be told so. */
const REMEMBERED = 1000;
/** Tokens a conversation has at most: what its client surely holds, and those of connections that may all have failed since. */
const TOKENS = 16;

/**
 * Which token opens which conversation. Only digests are kept. Every connection gets a token of its own; the one before it
 * stays good until the client has shown that it has the next.
 */
export class Resumption<Session extends object> {
  readonly #sessions = new Map<string, Session>();
  readonly #tokens = new Map<Session, string[]>();
  readonly #expired = new Set<string>();

  /** A token for this conversation. */
  offer(session: Session): string {
    const token = randomBytes(32).toString('base64url');
    const key = digest(token);
    this.#sessions.set(key, session);
    const tokens = [...(this.#tokens.get(session) ?? []), key];
    for (const old of tokens.splice(1, Math.max(0, tokens.length - TOKENS))) this.#sessions.delete(old);
    this.#tokens.set(session, tokens);
    return token;
  }

  /** The client has the token it was given last: those before it open nothing any more. */
  confirm(session: Session): void {
    const tokens = this.#tokens.get(session) ?? [];
    for (const key of tokens.splice(0, tokens.length - 1)) this.#sessions.delete(key);
  }

  find(token: string): Session | undefined {
    return this.#sessions.get(digest(token));
  }

  /** Why a token opens nothing. */
  refusal(token: string): ResumeRefusal {
    return this.#expired.has(digest(token)) ? 'expired' : 'unknown';
  }

  /** The conversation is over; `expired`: because nobody came back for it. */
  end(session: Session, expired: boolean): void {
    for (const key of this.#tokens.get(session) ?? []) {
      this.#sessions.delete(key);
      if (expired) this.#expired.add(key);
    }
    this.#tokens.delete(session);
    for (const key of this.#expired) {
      if (this.#expired.size <= REMEMBERED) break;
      this.#expired.delete(key);
    }
  }
}

const digest = (token: string) => createHash('sha256').update(token).digest('base64url');

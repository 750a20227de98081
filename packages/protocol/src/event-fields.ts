import { ProtocolError } from './errors';
import type { EventMessage } from './messages';

/** The data of an event, each field checked when it is read. Methods throw {@link ProtocolError} (`malformed`). */
export class EventFields {
  readonly #name: string;
  readonly #data: Record<string, unknown>;

  constructor({ name, data }: EventMessage) {
    this.#name = name;
    this.#data = typeof data === 'object' && data !== null ? { ...data } : {};
  }

  /** A whole number of at least `least`. */
  whole(key: string, least = Number.MIN_SAFE_INTEGER): number {
    const value = this.#data[key];
    if (!Number.isSafeInteger(value) || (value as number) < least) throw this.#bad(key, 'a whole number');
    return value as number;
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

import {
  type DialectName,
  type EventMessage,
  type HandshakeMessage,
  type Message,
  parseResumeNotice,
  type ResumeNotice,
  type ResumeRefusal,
} from '@moshi/protocol';
import { MoshiError } from '../errors';
import type { ResolvedOptions } from '../options';

type Notice<Name extends ResumeNotice['name']> = Extract<ResumeNotice, { name: Name }>;

/** What is known of the server from what it said so far. */
export class Peer {
  /** Its last metadata, undefined when it sent none. */
  metadata: unknown;
  /** Names of the extensions it announced. */
  extensions: ReadonlySet<string> = new Set();
  /** Its Error message, until it goes on talking. */
  error: MoshiError | undefined;
  /** It keeps the conversation when the connection is lost. */
  offer: Notice<'resumable'> | undefined;
  /** The conversation of an earlier connection goes on. */
  resumed: Notice<'resumed'> | undefined;
  /** Why it does not. */
  notResumed: ResumeRefusal | undefined;
  readonly #options: Pick<ResolvedOptions, 'dialect' | 'persona'>;
  #handshake: HandshakeMessage | undefined;

  constructor(options: Pick<ResolvedOptions, 'dialect' | 'persona'>) {
    this.#options = options;
  }

  /** It said that it is ready. */
  get ready(): boolean {
    return this.#handshake !== undefined;
  }

  /**
   * Its family: as asked for, else by the handshake. The Rust servers send eight bytes with it, of which only
   * moshi-backend sends metadata too; of the others only @moshi/server sends metadata, and it speaks as `moshi`. The two
   * Python servers look the same on the wire, so there the caller's own wish for a persona decides.
   */
  get dialect(): DialectName {
    const { dialect, persona } = this.#options;
    if (dialect !== 'auto') return dialect;
    const plain = this.metadata === undefined;
    if (this.#handshake?.modelVersion !== undefined) return plain ? 'moshi-server' : 'moshi-rust';
    return persona && plain ? 'personaplex' : 'moshi';
  }

  /** Takes note of a message. */
  learn(message: Message): void {
    if (message.type === 'handshake') this.#handshake ??= message;
    else if (message.type === 'event' && !this.ready) this.#learnOfResuming(message);
    else if (message.type === 'audio') this.error = undefined;
    else if (message.type === 'error') this.error = new MoshiError('server', message.message);
    else if (message.type === 'metadata') {
      this.metadata = message.data;
      const names = (message.data as { extensions?: unknown } | null | undefined)?.extensions;
      this.extensions = new Set(
        Array.isArray(names) ? names.filter((name): name is string => typeof name === 'string') : [],
      );
    }
  }

  #learnOfResuming(message: EventMessage): void {
    let notice: ResumeNotice | undefined;
    try {
      notice = parseResumeNotice(message);
    } catch {
      // What cannot be read offers nothing.
    }
    if (notice?.name === 'resumable') this.offer = notice;
    else if (notice?.name === 'resumed') this.resumed = notice;
    else if (notice?.name === 'not-resumed') this.notResumed = notice.reason;
  }
}

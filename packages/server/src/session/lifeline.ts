import { CLOSE_RESUMING, encodeMessage, type Message, type ResumeNotice, resumeEvent } from '@moshi/protocol';
import type { ServerLimits } from '../options';
import type { ExplainingSocket } from './explaining-socket';
import { Link, type LinkHandlers } from './link';
import { Replay } from './replay';
import type { SessionEnd } from './server-session';

/** What a {@link Lifeline} tells its session. */
export interface LifelineHost extends Omit<LinkHandlers, 'closed'> {
  /** A token by which the client can come back. */
  token(): string;
  /** The client has the last token. */
  confirmed(): void;
  /** The connection was lost; until then the client may come back. */
  away(until: number): void;
  /** It is over: the client left, or `expired`. */
  closed(end: SessionEnd, expired: boolean): void;
}

/** Milliseconds a client is waited for that never sent anything: most have taken back what they asked for, and know no token. */
const UNHEARD_MS = 2000;
/** Message type of audio, by which the other messages are told. */
const AUDIO = 1;

/**
 * A session's sockets, one after the other. What is sent goes on counting while there is none, and is sent again to a
 * client that comes back in time.
 */
export class Lifeline {
  readonly #limits: ServerLimits;
  readonly #host: LifelineHost;
  readonly #replay: Replay | undefined;
  #link: Link | undefined;
  /** The handshake is out: messages count. */
  #open = false;
  /** The client has sent something since then. */
  #heard = false;
  #taken = 0;
  #reads = true;
  #unconfirmed = false;
  #ended = false;
  #grace: NodeJS.Timeout | undefined;

  /** `keeps`: whether the client can come back. */
  constructor(socket: ExplainingSocket, limits: ServerLimits, keeps: boolean, host: LifelineHost) {
    this.#limits = limits;
    this.#host = host;
    this.#replay = keeps ? new Replay(limits.resumeBytes) : undefined;
    this.#link = this.#connect(socket);
  }

  /** Whether more should not be made: the client does not take it, or is not there. */
  get full(): boolean {
    return this.#link?.full ?? true;
  }

  /** Whether the client has no chance to be heard. */
  get deaf(): boolean {
    return this.#link?.deaf ?? true;
  }

  send(message: Message): void {
    const bytes = encodeMessage(message);
    if (this.#open) this.#replay?.push(bytes);
    this.#link?.send(bytes);
  }

  /** Tells the client that the conversation begins. */
  shakeHands(): void {
    if (this.#replay) this.#offer();
    this.send({ type: 'handshake' });
    this.#open = true;
  }

  /**
   * Puts another socket in the place of the one there is, or was: greets it with `metadata`, tells that `heard` samples have
   * arrived, and sends what comes after the first `received` messages. False when that is not all here any more.
   */
  attach(socket: ExplainingSocket, received: number, heard: number, metadata: unknown): boolean {
    const missed = this.#replay?.after(received);
    if (!missed) return false;
    clearTimeout(this.#grace);
    this.#link?.drop();
    const link = this.#connect(socket);
    this.#link = link;
    this.#unconfirmed = true;
    link.send(encodeMessage({ type: 'metadata', data: metadata }));
    this.#notify({ name: 'resumed', heard, next: received + 1, replayed: missed.length, taken: this.#taken });
    this.#offer();
    link.send(encodeMessage({ type: 'handshake' }));
    for (const message of missed) link.send(message);
    link.read(this.#reads);
    return true;
  }

  /** Whether there is room for what the client sends. */
  read(on: boolean): void {
    this.#reads = on;
    this.#link?.read(on);
  }

  /** Sends the close frame, if there is somebody to send it to. */
  close(code: number, reason: string): void {
    this.#link?.close(code, reason);
  }

  /** Cuts the connection; nothing more is told of it. */
  drop(): void {
    this.#link?.drop();
    this.#link = undefined;
  }

  /** The session is over. False when there is no socket whose end would be told. */
  end(): boolean {
    this.#ended = true;
    clearTimeout(this.#grace);
    this.#link?.finish();
    return this.#link !== undefined;
  }

  #connect(socket: ExplainingSocket): Link {
    return new Link(socket, this.#limits, {
      ...this.#host,
      message: (data, isBinary) => {
        if (this.#ended) return;
        this.#heard ||= this.#open;
        if (this.#unconfirmed) this.#host.confirmed();
        this.#unconfirmed = false;
        if (isBinary && data[0] !== AUDIO) this.#taken++;
        this.#host.message(data, isBinary);
      },
      closed: (end) => this.#lost(end),
    });
  }

  #lost(end: SessionEnd): void {
    this.#link = undefined;
    const lost = end.code === 1006 || end.code === CLOSE_RESUMING;
    if (this.#ended || !lost || !this.#open || !this.#replay) {
      this.#host.closed(end, false);
      return;
    }
    const { resumeMs } = this.#limits;
    const ms = this.#heard ? resumeMs : Math.min(resumeMs, UNHEARD_MS);
    this.#grace = setTimeout(() => this.#host.closed({ code: 1006, reason: end.reason }, true), ms);
    this.#host.away(Date.now() + ms);
  }

  #offer(): void {
    this.#notify({ name: 'resumable', token: this.#host.token(), graceMs: this.#limits.resumeMs });
  }

  /** Notices come before the handshake of their socket and do not count. */
  #notify(notice: ResumeNotice): void {
    this.#link?.send(encodeMessage(resumeEvent(notice)));
  }
}

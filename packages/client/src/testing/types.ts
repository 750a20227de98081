import type { DialectName, Message } from '@moshi/protocol';
import type { Transport } from '../transport';

/** What a scripted server does with one client; when it rejects, the connection breaks and `violations` says why. */
export type Play = (peer: ScriptedPeer, server: ScriptedServer) => void | Promise<void>;

/** How a scripted server presents itself. */
export interface ScriptedServerOptions {
  /** The family whose handshake, headers and pages it sends; default `moshi`. */
  readonly dialect?: DialectName;
  /** Extensions that its metadata announces, such as `say`; default none. */
  readonly extensions?: readonly string[];
  /** What it says about itself before the handshake; default: nothing, or its extensions. */
  readonly metadata?: unknown;
  /** {@link ScriptedServer.assertComplete} also fails for messages, other than audio, that the test never took; default false. */
  readonly strict?: boolean;
}

/** A server's behaviour and its looks in one. */
export interface ServerScript extends Omit<ScriptedServerOptions, 'strict'> {
  readonly play: Play;
}

/** What carries a peer's messages to the client. */
export interface PeerLink {
  /** One message: bytes, or a string for a text frame. */
  send(message: Uint8Array | string): void;
  /** Ends the connection with a close frame. */
  close(code: number, reason: string): void;
  /** Ends it without. */
  terminate(): void;
}

/** The client's end of a connection that {@link ScriptedServer.accept} took. */
export interface PeerConnection {
  /** The client sent a message. */
  message(data: Uint8Array | string): void;
  /** The connection has ended, with this close code; 1006 when it broke. */
  closed(code: number): void;
  /** Bytes of the client that the server has not read, because it stalls. */
  readonly held: number;
}

/** A server that does what a test tells it, on the wire as a real one. */
export interface ScriptedServer {
  /** Give it to `connect`. */
  readonly url: string;
  /** And this as its option `transport`: connections in memory, no sockets. One call, one connection. */
  readonly transport: () => Transport;
  /** Clients, in the order in which they came. */
  readonly peers: readonly ScriptedPeer[];
  /** What clients did that a stock server would punish: audio before the handshake, headers twice, broken pages, text frames. */
  readonly violations: readonly string[];
  /** The first client that this has not given yet, as soon as it is there. */
  nextPeer(): Promise<ScriptedPeer>;
  /** Takes a connection that a socket of yours brought; `url` as the client asked for it. */
  accept(url: string, link: PeerLink): PeerConnection;
  /** Throws an Error when an expected message has not come, when there are violations, and what else `strict` asks for. */
  assertComplete(): void;
}

/** One client, as a scripted server sees it, and the server's mouth. What is sent after the connection ended is lost, as it would be. */
export interface ScriptedPeer {
  /** What the client asked for in its address. */
  readonly query: URLSearchParams;
  /** All messages of the client so far. */
  readonly received: readonly Message[];
  /** What the client said so far, decoded: 24 kHz mono. */
  readonly heard: Float32Array;
  /** Resolves with the close code when the connection has ended, whoever ended it. */
  readonly left: Promise<number>;
  /** Samples of the client so far, 24 kHz, those of connections it took over included. */
  readonly samplesHeard: number;
  /** Its messages other than sound, those of connections it took over included. */
  readonly messagesTaken: number;
  /** Messages to the client since the handshake, those of connections it took over included. */
  readonly messagesSent: number;
  /**
   * Takes the next message of this type (for which `matches` holds), be it there already or still to come; messages
   * before it can still be taken. Rejects with an Error when the client leaves without.
   */
  expect<T extends Message['type']>(
    type: T,
    matches?: (message: Extract<Message, { type: T }>) => boolean,
  ): Promise<Extract<Message, { type: T }>>;
  /** Says that the server is ready, after its metadata if it has any, and begins its Ogg stream; all as the dialect does it. */
  handshake(): void;
  /**
   * Goes on with the conversation of a connection that broke: shakes hands, and sends what followed the first `received`
   * messages after the handshake there. Ogg stream, echo and counts go on; the old connection is dropped.
   */
  takeOver(previous: ScriptedPeer, received: number): void;
  /** Tells the place in line; 1 is next. */
  waiting(position: number): void;
  metadata(data: unknown): void;
  send(message: Message): void;
  /** Bytes as they are, or a text frame: for what a broken server sends. */
  sendRaw(data: Uint8Array | string): void;
  /** Text of the model: each word in a message of its own, with the space before it that begins a word. */
  say(text: string): void;
  /** Sound of the model, 24 kHz mono, or so many seconds of {@link speechLike}; silence fills its last frame of 80 ms. */
  speak(sound: Float32Array | { readonly seconds: number }): void;
  /**
   * From here on says back what it hears, frame by frame and `delayFrames` (default 0) later; frame n brings `words[n]`
   * as a piece of text, as it is.
   */
  echo(options?: { readonly delayFrames?: number; readonly words?: readonly (string | undefined)[] }): void;
  /** Sends an Error message. */
  error(text: string): void;
  /** Says goodbye; default code 1000. */
  hangUp(code?: number, reason?: string): void;
  /** The network breaks: the client sees code 1006, and nothing of what was on its way. */
  drop(): void;
  /** The network stands still for so long: nothing gets through in either direction, and all of it afterwards. */
  stall(ms: number): void;
}

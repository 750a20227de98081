import type { Message } from '@moshi/protocol';
import type { MoshiError } from './errors';
import type { SessionMetrics } from './metrics';
import type { SessionState } from './state';

/** A piece of what the model says, UTF-8 complete; a leading space starts a new word. */
export interface TextEvent {
  readonly text: string;
  /** Seconds of reply audio received when the text arrived: its place on the reply's own clock. */
  readonly time: number;
  /** Colour index, only from servers that send coloured text. */
  readonly color?: number;
}

/** Decoded reply audio, handed out as soon as its page is complete. */
export interface AudioEvent {
  /** 24 kHz mono samples in [-1, 1]; any length, usually 960 or 1920. Yours to keep. */
  readonly pcm: Float32Array;
  /** Seconds of reply audio before the first sample of `pcm`. */
  readonly time: number;
}

/** Reply audio as it came, on sessions without codecs. */
export interface PacketsEvent {
  /** Opus packets of any length, in order, none of them broken; yours to keep. */
  readonly packets: readonly Uint8Array[];
  /** Seconds of reply audio before the first of them. */
  readonly time: number;
}

/** The place in line while the server is not ready. */
export interface WaitingEvent {
  /** 1 is next; undefined when the server does not tell. */
  readonly position?: number;
}

/** Microphone audio thrown away because the connection did not take it; the oldest goes first. */
export interface DroppedEvent {
  /** Milliseconds dropped now. */
  readonly ms: number;
  /** Milliseconds dropped since the session began. */
  readonly totalMs: number;
}

/** The server begins to speak a text; `id` is below 0 for texts that this session did not ask for with `say`. */
export interface SayStartEvent {
  readonly id: number;
  /** The whole text. */
  readonly text: string;
}

/** The server begins to speak one word of a text. */
export interface SayWordEvent {
  readonly id: number;
  /** The word, no blanks around it. */
  readonly word: string;
  /** Seconds of reply audio received when the word began: its place on the reply's own clock. */
  readonly time: number;
}

/** A text is through, was taken back, or cannot be spoken. */
export interface SayEndEvent {
  readonly id: number;
  /** What was really spoken. */
  readonly text: string;
  /** False when it was taken back before its last word. */
  readonly completed: boolean;
}

/** An attempt to come back follows. */
export interface ReconnectingEvent {
  /** 0 for the first. */
  readonly attempt: number;
  readonly delayMs: number;
  /** Why the connection was lost, or the last attempt failed. */
  readonly error: MoshiError;
}

/** The same conversation goes on, and nothing the model said is missing. */
export interface ResumedEvent {
  /** Milliseconds without a connection. */
  readonly awayMs: number;
  /** Messages of the server that come late because of it. */
  readonly replayedMessages: number;
  /** Milliseconds of microphone audio sent again. */
  readonly resentMs: number;
  /** Milliseconds of microphone audio that were too old to be sent. */
  readonly droppedMs: number;
}

/** The connection is back, and the model remembers nothing. */
export interface NewConversationEvent {
  /** Milliseconds without a connection. */
  readonly awayMs: number;
  /** `not-offered`: this server keeps none; `unknown`: it does not know of it, as after a restart; `expired`; `gap`: too much was missed. */
  readonly reason: 'not-offered' | 'unknown' | 'expired' | 'gap';
}

/** The server computes slower than real time. @moshi/server only. */
export interface BehindEvent {
  /** Milliseconds of what it was sent that wait there; 0 when it has caught up. */
  readonly ms: number;
}

/** How the connection ended. */
export interface ClosedEvent {
  /** WebSocket close code; 1005 and 1006 mean that none was received. */
  readonly code: number;
  readonly reason: string;
  /** True when both sides said goodbye, false when the connection just broke. */
  readonly clean: boolean;
  /** Why, unless the session was closed by this side or ended normally. */
  readonly error?: MoshiError;
}

/**
 * The events of a session and their arguments. An event that the server caused before `connect` returned is kept and
 * delivered once listeners had their chance to attach. At the end come, in this order: `error` (if any), `state`, `closed`.
 */
export interface SessionEvents {
  text: (event: TextEvent) => void;
  audio: (event: AudioEvent) => void;
  /** In place of `audio` with `codecs: false`. */
  packets: (event: PacketsEvent) => void;
  state: (state: SessionState) => void;
  /** Only seen through {@link ConnectOptions.on}: once `connect` has returned, the wait is over. */
  waiting: (event: WaitingEvent) => void;
  /** The server's JSON about itself, as sent. */
  metadata: (metadata: unknown) => void;
  /** Once a second from ready to the end, without a connection too. */
  metrics: (metrics: SessionMetrics) => void;
  dropped: (event: DroppedEvent) => void;
  /** What becomes of texts that the server is to speak: this session's, and those its server's host gave it. */
  'say-start': (event: SayStartEvent) => void;
  'say-word': (event: SayWordEvent) => void;
  'say-end': (event: SayEndEvent) => void;
  reconnecting: (event: ReconnectingEvent) => void;
  resumed: (event: ResumedEvent) => void;
  /** Clear captions and tell the user. The reply's clock goes on counting. */
  'new-conversation': (event: NewConversationEvent) => void;
  /** The machine has a network again, or none; where the platform tells. */
  online: () => void;
  offline: () => void;
  behind: (event: BehindEvent) => void;
  /** Every message as decoded, before anything else is done with it. */
  message: (message: Message) => void;
  /** Something went wrong; unless the session closes next, it goes on. */
  error: (error: MoshiError) => void;
  closed: (event: ClosedEvent) => void;
}

/** Listeners by event name, to attach before the connection is opened. */
export type SessionListeners = Partial<SessionEvents>;

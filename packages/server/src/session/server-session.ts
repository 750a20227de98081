import type { ChatParameters } from '@moshi/protocol';
import type { EventEmitter } from 'eventemitter3';
import type { SessionState, SessionStats } from './state';

/** How a conversation ended. */
export interface SessionEnd {
  /** WebSocket close code; 1006 when the connection just ended. */
  code: number;
  /** Why, as one short line; may be empty when the client closed. */
  reason: string;
}

/** Events of a {@link ServerSession} and their arguments. */
export interface ServerSessionEvents {
  /** The session moved on. */
  state: [state: SessionState];
  /** One frame of the user, as the model hears it: 1920 samples of 24 kHz mono PCM in [-1, 1]. */
  inputAudio: [pcm: Float32Array];
  /** One frame of the model, before it is encoded: 1920 samples of 24 kHz mono PCM in [-1, 1]. */
  outputAudio: [pcm: Float32Array];
  /** What the model says, as clean text (byte pieces put together); words start with a space. */
  text: [text: string];
  /** The connection is gone; the last event. */
  closed: [end: SessionEnd];
}

/** One client and its conversation, as the host of the server sees it. */
export interface ServerSession extends EventEmitter<ServerSessionEvents> {
  /** Unique name of the session, for logs. */
  readonly id: string;
  /** Address the client connects from. */
  readonly address: string;
  /** What the client asked for in its query. */
  readonly parameters: Readonly<ChatParameters>;
  /** Where the conversation is. */
  readonly state: SessionState;
  /** A snapshot of the counters. */
  readonly stats: SessionStats;
  /**
   * Ends the session: sends `message` as an Error message if given, then the close frame, and gives the slot back at once.
   * Defaults: code 1000, reason 'closed by the server'. The reason is cut to the 123 bytes a close frame holds.
   */
  close(code?: number, reason?: string, message?: string): void;
}

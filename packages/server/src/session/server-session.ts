import type { ChatParameters } from '@moshi/protocol';
import type { EventEmitter } from 'eventemitter3';
import type { SayOptions } from '../engine';
import type { SessionPipe } from './pipe';
import type { SayNoticeEvent, SayResult } from './speech';
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
  /** A text the client sent to be spoken, before any hook. */
  userText: [text: string];
  /** What becomes of texts that are to be spoken, the client's and the host's. */
  say: [event: SayNoticeEvent];
  /** The connection is gone; the last event. */
  closed: [end: SessionEnd];
}

/** One client and its conversation, as the host of the server sees it. */
export interface ServerSession extends EventEmitter<ServerSessionEvents> {
  /** Unique name of the session, for logs. */
  readonly id: string;
  /** Address the client connects from, or did last. */
  readonly address: string;
  /** What the client asked for in its query. */
  readonly parameters: Readonly<ChatParameters>;
  /** Where the conversation is. */
  readonly state: SessionState;
  /** A snapshot of the counters. */
  readonly stats: SessionStats;
  /**
   * Lets the model speak `text` in its own voice, after the texts before it; before the conversation is live it waits. Resolves with
   * what was really spoken, also when the session ends before. Rejects {@link ServerError} `UNSUPPORTED` when the engine cannot, or as
   * the engine does when it cannot speak this text. `signal` takes the text back.
   */
  say(text: string, options?: SayOptions & { signal?: AbortSignal }): Promise<SayResult>;
  /** Takes back every text, the client's too; a word on its way is finished. */
  cancelSay(): void;
  /** Takes back every text, and the model stops speaking. */
  interrupt(): void;
  /** The user's turn is over: the model begins to speak now, where the engine can. */
  endTurn(): void;
  /** Stops stepping: what the client sends is dropped, until {@link ServerSession.resume}. Without effect unless live. */
  pause(): void;
  /** Steps again after {@link ServerSession.pause}. */
  resume(): void;
  /** Starts the conversation anew with the same voice and prompt; resolves when it is live again. Without effect before it is. */
  restart(): Promise<void>;
  /** Adds hooks that see and alter sound and text on their way; those added before are asked before. */
  pipe(hooks: SessionPipe): void;
  /**
   * Sends an event of the host's own to the client, `data` being any JSON value. Clients that did not ask for extensions do not get it.
   * Throws `BAD_OPTION` for names that are the protocol's.
   */
  sendEvent(name: string, data?: unknown): void;
  /**
   * Ends the session: sends `message` as an Error message if given, then the close frame, and gives the slot back at once.
   * Defaults: code 1000, reason 'closed by the server'. The reason is cut to the 123 bytes a close frame holds.
   */
  close(code?: number, reason?: string, message?: string): void;
}

// The shape of an engine, as @moshi/server declares it: this package does not depend on the server.
import type { ChatParameters } from '@moshi/protocol';
import type { Voice } from '../voices';

/** What one conversation asks of a remote engine: how its model samples, its voice and its role. */
export interface RemoteSessionOptions
  extends Pick<
    ChatParameters,
    | 'textTemperature'
    | 'textTopK'
    | 'audioTemperature'
    | 'audioTopK'
    | 'textSeed'
    | 'audioSeed'
    | 'seed'
    | 'repetitionPenalty'
    | 'repetitionPenaltyContext'
    | 'padMult'
    | 'sayOnly'
  > {
  /** Name of a voice of the remote server; '' is none. */
  voice?: string;
  /** The role the model plays; '' is none. */
  prompt?: string;
}

/** What a remote engine is, as far as that is known without asking it. */
export interface RemoteEngineInfo {
  model: string;
  dialect: 'moshi' | 'personaplex';
  sampleRate: 24000;
  frameSamples: 1920;
  /** Conversations at the same time. */
  slots: number;
  trained: boolean;
  /** What its sessions may be able to do; a session has those members that the remote server announced. */
  features?: readonly ('say' | 'interrupt' | 'endTurn')[];
  details: Record<string, string | number | boolean>;
}

/** One frame of what the remote model says. */
export interface RemoteFrame {
  /** Counts from 0 after `open` and after `reset`. */
  step: number;
  /** 1920 samples of 24 kHz mono in [-1, 1]; null only for text that came after the last sound of a connection. */
  pcm: Float32Array | null;
  /** The text that came since the frame before. */
  text: string | null;
  /** Always -1: tokens do not travel. */
  token: number;
  /** Always 0: nothing is computed here. */
  timing: { encodeMs: number; lmMs: number; decodeMs: number };
}

/** What becomes of a text given to `say`. */
export interface RemoteSayEvent {
  type: 'start' | 'word' | 'end';
  /** As `say` returned it. */
  id: number;
  /** start: the whole text; word: that word; end: what was really spoken. */
  text: string;
  /** Of `end`: false when it was taken back before its last word. */
  completed?: boolean;
}

/** One conversation on the remote server. */
export interface RemoteEngineSession {
  /** Frames pushed that the network has not taken. */
  readonly queued: number;
  /**
   * Takes 24 kHz mono samples in [-1, 1] of any length; each whole frame of 1920 goes to the remote server. Throws the
   * reason when the connection is gone.
   */
  push(pcm: Float32Array): void;
  /** Starts the conversation anew, on the same connection where the server can do that, else on a new one. */
  reset(): Promise<void>;
  /** Hangs up; idempotent, no events after it resolves. */
  close(): Promise<void>;
  /** Lets the remote model speak a text; returns its number, from 1. Throws `ENGINE_BAD_OPTION` on what cannot be spoken. */
  say?(text: string, options?: { floor?: 'interrupt' | 'wait' }): number;
  /** Takes back one text, or all of them. */
  cancelSay?(id?: number): void;
  /** Takes back all texts, and the model stops speaking. */
  interrupt?(): void;
  /** The user's turn is over: the model begins to speak now. */
  endTurn?(): void;
  /** No frames come until `resume`: the remote conversation pauses too. */
  pause?(): void;
  /** Frames come again. */
  resume?(): void;
  /** Calls the listener with what becomes of the texts given to `say`. */
  on(event: 'say', listener: (event: RemoteSayEvent) => void): this;
  /** Calls the listener with each frame of what the remote model says, in order. */
  on(event: 'frame', listener: (frame: RemoteFrame) => void): this;
  /** Calls the listener when the conversation cannot go on, with the remote server's reason. */
  on(event: 'error', listener: (error: Error) => void): this;
  /** Takes the `say` listener away. */
  off(event: 'say', listener: (event: RemoteSayEvent) => void): this;
  /** Takes the `frame` listener away. */
  off(event: 'frame', listener: (frame: RemoteFrame) => void): this;
  /** Takes the `error` listener away. */
  off(event: 'error', listener: (error: Error) => void): this;
}

/** An engine that is another server; `createServer` of @moshi/server takes it. */
export interface RemoteEngine {
  readonly info: RemoteEngineInfo;
  /**
   * Connects, and resolves when the remote server is ready. Rejects with {@link RemoteEngineError}; `ENGINE_FULL` when all
   * slots are taken or the remote server says that it is full, `ENGINE_BAD_OPTION` when it refuses voice or parameters.
   */
  open(options?: RemoteSessionOptions): Promise<RemoteEngineSession>;
  /** The voices of the remote server, sorted by name. Rejects as `listVoices` does. */
  voices(): Promise<Voice[]>;
  /** Ends all conversations; afterwards `open` rejects. */
  close(): Promise<void>;
}

/** What went wrong, for programs: no place, a wish that cannot be met, or anything else. */
export type RemoteEngineErrorCode = 'ENGINE_FULL' | 'ENGINE_BAD_OPTION' | 'ENGINE_FAILED';

/** The error class of {@link RemoteEngine}; `cause` is the `MoshiError` underneath, with the remote server's address. */
export class RemoteEngineError extends Error {
  override readonly name = 'RemoteEngineError';
  /** What went wrong. */
  readonly code: RemoteEngineErrorCode;

  /** `message` may be shown to anybody: it holds no address. */
  constructor(code: RemoteEngineErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Where a conversation is. It moves `waiting → prompting → live ⇄ paused → closing → closed`; restart leads back to
 * `prompting`, a lost connection from `live`, `paused` or that to `detached`, and back when the client returns.
 */
export type SessionState =
  | {
      /** In the line for a slot. */
      name: 'waiting';
      /** Place in the line, 1 = next. */
      position: number;
    }
  | {
      /** Holds a slot; voice and prompt are being stepped in, the client has no handshake yet (or asked to restart). */
      name: 'prompting';
    }
  | {
      /** Talking. */
      name: 'live';
    }
  | {
      /** The client asked to pause: nothing is stepped, incoming audio is dropped. */
      name: 'paused';
    }
  | {
      /** The connection was lost: nothing is stepped, the slot is held, and the client may come back. */
      name: 'detached';
      /** When that is over, as `Date.now()` tells time. */
      until: number;
    }
  | {
      /** The close frame is on its way; the slot is being handed back. */
      name: 'closing';
      /** WebSocket close code. */
      code: number;
      /** Why, as one short line. */
      reason: string;
    }
  | {
      /** Over. */
      name: 'closed';
      /** WebSocket close code; 1006 when the connection just ended. */
      code: number;
      /** Why, as one short line; may be empty when the client closed. */
      reason: string;
    };

/** Counters of one conversation. */
export interface SessionStats {
  /** Frames (80 ms) pushed to the engine. */
  framesIn: number;
  /** Frames of the model's audio sent to the client. */
  framesOut: number;
  /** Text pieces sent to the client. */
  textPieces: number;
  /** Messages that were ignored: unknown types, text frames, empty ones, ones that do not decode. */
  ignoredMessages: number;
  /** Times the incoming Ogg stream was broken: pages with a wrong checksum or stray bytes, Opus packets that do not decode. */
  brokenAudio: number;
  /** Pages of audio dropped because they came before the handshake, while paused, or while restarting. */
  droppedPages: number;
}

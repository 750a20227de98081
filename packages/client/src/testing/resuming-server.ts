import { CLOSE_RESUMING, parseResumeQuery, type ResumeNotice, resumeEvent } from '@moshi/protocol';
import type { ScriptedPeer, ServerScript } from './types';

interface Kept {
  readonly peer: ScriptedPeer;
  /** When its connection broke. */
  brokeAt?: number;
}

/** A script of a server that keeps conversations. */
export interface ResumingServer extends ServerScript {
  /** It knows nothing of earlier conversations any more, as after a restart. */
  forget(): void;
}

/**
 * @moshi/server as far as resuming goes: keeps a conversation whose connection broke for `graceMs` (default 15 000), with all it
 * has sent. Says back what it hears.
 */
export function resumingServer(options: { readonly graceMs?: number } = {}): ResumingServer {
  const { graceMs = 15_000 } = options;
  const kept = new Map<string, Kept>();
  let tokens = 0;
  const take = (token: string): Kept | 'unknown' | 'expired' => {
    const found = kept.get(token);
    // Each is good for once.
    kept.delete(token);
    if (!found) return 'unknown';
    return found.brokeAt !== undefined && performance.now() - found.brokeAt > graceMs ? 'expired' : found;
  };
  return {
    dialect: 'moshi',
    forget: () => kept.clear(),
    play(peer) {
      const tell = (notice: ResumeNotice) => peer.send(resumeEvent(notice));
      const { request } = parseResumeQuery(peer.query);
      const found = request && take(request.token);
      peer.metadata({ server: 'scripted', extensions: ['waiting', 'control', 'restarted', 'resume'] });
      const before = typeof found === 'object' ? found.peer : undefined;
      const received = request?.received ?? 0;
      if (before) {
        const { samplesHeard: heard, messagesTaken: taken, messagesSent } = before;
        tell({ name: 'resumed', heard, next: received + 1, replayed: messagesSent - received, taken });
      } else if (typeof found === 'string') tell({ name: 'not-resumed', reason: found });
      const token = `token-${++tokens}`;
      tell({ name: 'resumable', token, graceMs });
      const own: Kept = { peer };
      kept.set(token, own);
      void peer.left.then((code) => {
        own.brokeAt = performance.now();
        if (code !== 1006 && code !== CLOSE_RESUMING) kept.delete(token);
      });
      if (before) return peer.takeOver(before, received);
      peer.handshake();
      peer.echo();
    },
  };
}

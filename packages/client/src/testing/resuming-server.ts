import type { ScriptedPeer, ServerScript } from './types';

interface Kept {
  readonly peer: ScriptedPeer;
  /** When its connection broke. */
  brokeAt?: number;
}

/**
 * @moshi/server as far as resuming goes: keeps a conversation whose connection broke for `graceMs` (default 15 000), with all it
 * has sent. Says back what it hears. `forget` makes it know nothing of earlier conversations, as after a restart.
 */
export function resumingServer(options: { readonly graceMs?: number } = {}): ServerScript & { forget(): void } {
  const { graceMs = 15_000 } = options;
  const kept = new Map<string, Kept>();
  let tokens = 0;
  const find = (token: string): Kept | 'unknown' | 'expired' => {
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
      const asked = peer.query.get('resume');
      const found = asked === null ? undefined : find(asked);
      const event = (name: string, data: unknown) => peer.send({ type: 'event', name, data });
      peer.metadata({ server: 'scripted', extensions: ['waiting', 'control', 'restarted', 'resume'] });
      if (typeof found === 'string') event('not-resumed', { reason: found });
      const received = Number(peer.query.get('received'));
      if (typeof found === 'object') event('resumed', { heard: found.peer.samplesHeard, next: received + 1 });
      const token = `token-${++tokens}`;
      event('resumable', { token, graceMs });
      const own: Kept = { peer };
      kept.set(token, own);
      void peer.left.then((code) => {
        own.brokeAt = performance.now();
        if (code !== 1006) kept.delete(token);
      });
      if (typeof found === 'object') return peer.takeOver(found.peer, received);
      peer.handshake();
      peer.echo();
    },
  };
}

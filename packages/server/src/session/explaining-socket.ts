import { encodeMessage } from '@moshi/protocol';
import { WebSocket } from 'ws';

/** What a client did when ws itself closes with this code. */
const violations: Record<number, { reason: string; message: string }> = {
  1002: { reason: 'WebSocket error', message: 'A frame broke the rules of WebSocket: use a WebSocket library.' },
  1007: { reason: 'bad text', message: 'A text frame was no UTF-8: send binary messages.' },
  1008: { reason: 'too many fragments', message: 'A message came in too many fragments: send each in one piece.' },
  1009: { reason: 'message too big', message: 'A message was too big: send audio in pages of about 40 ms.' },
};

/** A socket that says why when ws closes it on its own, which it does before anyone is told. */
export class ExplainingSocket extends WebSocket {
  /** The code and reason of such a close. */
  violation: { code: number; reason: string } | undefined;

  override close(code?: number, reason?: string | Buffer): void {
    const known = reason === undefined && code !== undefined ? violations[code] : undefined;
    if (!known || code === undefined || this.readyState !== this.OPEN) {
      super.close(code, reason);
      return;
    }
    this.violation = { code, reason: known.reason };
    this.send(encodeMessage({ type: 'error', message: known.message }), { binary: true });
    super.close(code, known.reason);
  }
}

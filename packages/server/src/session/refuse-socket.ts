import { encodeMessage } from '@moshi/protocol';
import type { WebSocket } from 'ws';

/** Tells a client that has no session why it cannot have one, and closes. */
export function refuseSocket(socket: WebSocket, closeMs: number, code: number, reason: string, message: string): void {
  socket.send(encodeMessage({ type: 'error', message }), { binary: true });
  socket.close(code, closeReason(reason));
  const timer = setTimeout(() => socket.terminate(), closeMs);
  socket.on('close', () => clearTimeout(timer));
}

/** Cuts a reason to the 123 bytes of UTF-8 that fit in a close frame. */
export function closeReason(reason: string): string {
  if (Buffer.byteLength(reason) <= 123) return reason;
  let cut = '';
  for (const char of reason) {
    if (Buffer.byteLength(cut + char) > 120) break;
    cut += char;
  }
  return `${cut}…`;
}

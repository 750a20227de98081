import { type Server as HttpServer, type IncomingMessage, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** What an attached part wants to answer. Both return false to leave a request to others. */
export interface Attachment {
  request(request: IncomingMessage, response: ServerResponse): boolean;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean;
}

/**
 * Puts a part in front of a server's own listeners and returns how to take it away again. The server's `emit` is wrapped
 * because listeners alone cannot do it: every listener sees every request, and other WebSocket servers (those added later
 * too) answer 400 to any upgrade that is not theirs.
 */
export function attach(server: HttpServer | HttpsServer, part: Attachment): () => void {
  const original = server.emit;
  // Node only offers upgrades to a server that has a listener for them.
  const placeholder = () => {};
  server.on('upgrade', placeholder);

  let attached = true;
  const emit = function (this: unknown, event: string | symbol, ...args: unknown[]): boolean {
    if (attached && event === 'request') {
      if (part.request(args[0] as IncomingMessage, args[1] as ServerResponse)) return true;
    } else if (attached && event === 'upgrade') {
      const [request, socket, head] = args as [IncomingMessage, Socket, Buffer];
      if (part.upgrade(request, socket, head)) return true;
      if (server.listenerCount('upgrade') === 1) return server.emit('request', request, plainResponse(request, socket));
    }
    return Reflect.apply(original, this, [event, ...args]);
  };
  server.emit = emit as typeof server.emit;

  return () => {
    attached = false;
    server.off('upgrade', placeholder);
    // Somebody may have wrapped our wrapper since; then it stays and lets everything through.
    if (server.emit === emit) server.emit = original;
  };
}

/**
 * The response to an upgrade that nobody takes. A server without upgrade listeners would treat it as a plain request (some
 * HTTP clients offer h2c with every request), and so it is treated.
 */
function plainResponse(request: IncomingMessage, socket: Socket): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.on('finish', () => {
    response.detachSocket(socket);
    socket.destroySoon();
  });
  socket.on('error', () => socket.destroy());
  return response;
}

import { moshiRustMetadata, type ServerScript, scriptedServer, stockServers } from '../../src/testing/index';
import type { Script } from './server';

export { moshiRustMetadata as krsMetadata };

/** The same script behind a real WebSocket. */
function overSocket(script: ServerScript): Script {
  const scripted = scriptedServer(script);
  return ({ socket, request, send }) => {
    const connection = scripted.accept(request.url ?? '/', {
      send,
      close: (code, reason) => socket.close(code, reason),
      terminate: () => socket.terminate(),
    });
    socket.on('message', (data: Buffer, isBinary) =>
      connection.message(isBinary ? new Uint8Array(data) : String(data)),
    );
    socket.on('close', (code) => connection.closed(code));
  };
}

export const kyutaiPython = () => overSocket(stockServers.moshi());
export const kyutaiRust = () => overSocket(stockServers.moshiRust());
export const personaPlex = (prompting?: Promise<void>) => overSocket(stockServers.personaPlex({ prompting }));
export const moshiServerLm = () => overSocket(stockServers.moshiServer());

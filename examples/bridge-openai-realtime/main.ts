// The OpenAI Realtime API in front of Moshi: programs written for it talk to your own model, unmodified.
//
//   npx tsx examples/bridge-openai-realtime/main.ts             ws://localhost:8997/v1/realtime
//   TLS_DIR=./certs npx tsx examples/bridge-openai-realtime/main.ts     wss:// (the official npm client insists on it)
//
// MOSHI_URL (ws://localhost:8998), PORT (8997), HOST, KEY (when set, clients must send it as their API key).
// A full-duplex model has no turns: a response begins when Moshi starts to speak, or with response.create, and ends after
// 0.8 s of quiet. Both may talk at once, and a user who speaks cancels nothing: Moshi hears it and decides for itself.
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';
import { RealtimeSession } from './realtime-session.ts';

const { env } = process;
const moshiUrl = env.MOSHI_URL || 'ws://localhost:8998';
const file = (name: string) => readFileSync(join(env.TLS_DIR!, name));
const server = env.TLS_DIR ? createHttpsServer({ key: file('key.pem'), cert: file('cert.pem') }) : createHttpServer();

/** Programs send the key as a header; pages, which cannot, as a subprotocol. */
function allowed({ headers }: IncomingMessage): boolean {
  if (!env.KEY) return true;
  const protocols = String(headers['sec-websocket-protocol'] ?? '').split(/,\s*/);
  return headers.authorization === `Bearer ${env.KEY}` || protocols.includes(`openai-insecure-api-key.${env.KEY}`);
}

function isBeta({ headers }: IncomingMessage): boolean {
  return 'openai-beta' in headers || /openai-beta/.test(headers['sec-websocket-protocol'] ?? '');
}

// Minutes of audio may come in one message.
const sockets = new WebSocketServer({ noServer: true, maxPayload: 16 * 1024 * 1024 });
server.on('request', (_, response) => response.writeHead(404).end('This is a WebSocket: /v1/realtime.\n'));
server.on('upgrade', (request, socket, head) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'ws://host');
  const status = !/^(\/v1)?\/realtime$/.test(pathname) ? '404 Not Found' : allowed(request) ? '' : '401 Unauthorized';
  if (status) {
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\n\r\n`);
    return;
  }
  sockets.handleUpgrade(request, socket, head, (client) => {
    new RealtimeSession(client, moshiUrl, searchParams.get('model') || 'moshi', isBeta(request));
  });
});
server.listen(Number(env.PORT || 8997), env.HOST || '127.0.0.1', () => {
  const { port } = server.address() as { port: number };
  console.log(`listening on ${env.TLS_DIR ? 'wss' : 'ws'}://localhost:${port}/v1/realtime, Moshi at ${moshiUrl}`);
});

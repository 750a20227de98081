import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Message } from '@moshi/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import { Manners } from '../../src/testing/manners';

/** One client as a scripted server sees it. */
export interface Peer {
  readonly socket: WebSocket;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  /** Messages that have not been taken with `next` yet. */
  readonly inbox: Message[];
  /** The next message, or undefined when the client has left. */
  next(): Promise<Message | undefined>;
  send(...bytes: (Uint8Array | string)[]): void;
}

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly peers: Peer[];
  /** What clients did that a stock server would punish. */
  readonly violations: string[];
  close(): Promise<void>;
}

export type Script = (peer: Peer, server: TestServer) => void | Promise<void>;

const open: TestServer[] = [];

/** Closes every server of the test that just ran. */
export async function closeServers(): Promise<void> {
  await Promise.all(open.splice(0).map((server) => server.close()));
}

/** A WebSocket server on a free port of 127.0.0.1 that runs `script` for every client and watches its manners. */
export async function scriptedServer(script: Script): Promise<TestServer> {
  const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(sockets, 'listening');
  const { port } = sockets.address() as AddressInfo;
  const server: TestServer = {
    url: `ws://127.0.0.1:${port}`,
    port,
    peers: [],
    violations: [],
    close: async () => {
      for (const client of sockets.clients) client.terminate();
      await new Promise((resolve) => sockets.close(resolve));
    },
  };
  sockets.on('connection', (socket, request) => {
    const peer = makePeer(socket, request, server.violations);
    server.peers.push(peer);
    Promise.resolve(script(peer, server)).catch((error) => {
      server.violations.push(`the script failed: ${error}`);
      socket.terminate();
    });
  });
  open.push(server);
  return server;
}

function makePeer(socket: WebSocket, request: IncomingMessage, violations: string[]): Peer {
  const inbox: Message[] = [];
  let wake = () => {};
  const manners = new Manners(violations);
  socket.on('message', (data: Buffer, isBinary) => {
    const message = manners.read(isBinary ? new Uint8Array(data) : String(data));
    if (message) inbox.push(message);
    wake();
  });
  socket.on('close', () => wake());
  socket.on('error', () => {});
  return {
    socket,
    request,
    query: new URL(request.url ?? '/', 'http://localhost').searchParams,
    inbox,
    async next() {
      while (inbox.length === 0 && socket.readyState === socket.OPEN) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return inbox.shift();
    },
    send(...messages) {
      for (const bytes of messages) {
        if (bytes[0] === 0) manners.shookHands();
        if (socket.readyState === socket.OPEN) socket.send(bytes);
      }
    },
  };
}

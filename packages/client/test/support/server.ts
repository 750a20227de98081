import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeMessage, isOpusHead, type Message, OggPacketReader } from '@moshi/protocol';
import { type WebSocket, WebSocketServer } from 'ws';

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
  let shookHands = false;
  const packets = new OggPacketReader();
  let packetCount = 0;
  let sequence = -1;
  const watch = (message: Message) => {
    if (message.type !== 'audio') return;
    if (!shookHands) violations.push('audio before the handshake');
    for (const packet of packets.push(message.data)) {
      const head = isOpusHead(packet.data);
      if (head !== (packetCount === 0)) violations.push(head ? 'repeated headers' : 'audio before headers');
      packetCount++;
    }
    const page = new DataView(message.data.buffer, message.data.byteOffset);
    const first = page.getUint32(18, true);
    if (first <= sequence) violations.push('pages out of sequence');
    sequence = first;
    if (packets.stats.badCrc > 0 || packets.stats.skippedBytes > 0) violations.push('broken Ogg pages');
  };
  socket.on('message', (data: Buffer, isBinary) => {
    if (!isBinary) violations.push('a WebSocket text frame');
    const message = decodeMessage(new Uint8Array(data));
    watch(message);
    inbox.push(message);
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
        if (bytes[0] === 0) shookHands = true;
        if (socket.readyState === socket.OPEN) socket.send(bytes);
      }
    },
  };
}

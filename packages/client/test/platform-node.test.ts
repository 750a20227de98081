import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { listVoices, type MoshiError, type TransportClose, WebSocketTransport } from '../src';

const closers: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** How a connection ends with a server that answers the upgrade so. */
async function ending(answer: (socket: Duplex) => void): Promise<TransportClose> {
  const server = createServer();
  server.on('upgrade', (_request, socket) => answer(socket));
  const host = await listening(server);
  return new Promise((close) =>
    new WebSocketTransport().open(`ws://${host}`, { open: () => {}, message: () => {}, close }),
  );
}

/** A server whose certificate nobody signed. */
function secure(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const file = (name: string) => readFileSync(new URL(`./fixtures/tls/${name}`, import.meta.url));
  return listening(createSecureServer({ key: file('key.pem'), cert: file('cert.pem') }, answer) as unknown as Server);
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail(),
    (error: MoshiError) => error,
  );

it('reads no more of a refusal than is told', async () => {
  const { refused } = await ending((socket) => {
    socket.write('HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n');
    socket.on('error', () => {});
    const more = () => {
      while (!socket.destroyed && socket.write(`190\r\n${'no! '.repeat(100)}\r\n`));
    };
    socket.on('drain', more);
    more();
  });
  expect(refused).toEqual({ status: 403, text: 'no! '.repeat(256) });
});

it('waits for no end of a refusal', async () => {
  const { refused } = await ending((socket) => {
    socket.write('HTTP/1.1 503 Later\r\ncontent-length: 100\r\n\r\nnot yet');
  });
  expect(refused).toEqual({ status: 503, text: 'not yet' });
});

it('asks for no compression, and takes no message that is an attack on memory', async () => {
  const server = createServer();
  const offers: unknown[] = [];
  const sockets = new WebSocketServer({ server, perMessageDeflate: true });
  sockets.on('connection', (socket, { headers }) => {
    offers.push(headers['sec-websocket-extensions']);
    socket.on('error', () => {});
    for (const size of [16, 16.001]) socket.send(new Uint8Array(size * 1024 * 1024));
  });
  const host = await listening(server);
  const sizes: number[] = [];
  const { error } = await new Promise<TransportClose>((close) =>
    new WebSocketTransport().open(`ws://${host}`, {
      open: () => {},
      message: ({ length }) => sizes.push(length),
      close,
    }),
  );
  expect(offers).toEqual([undefined]);
  expect(sizes).toEqual([16 * 1024 * 1024]);
  expect(error?.message).toContain('Max payload');
});

it('gives up with a server of any certificate as with others', async () => {
  const host = await secure((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).write('{');
  });
  const options = { insecure: true, timeoutMs: 100 };
  expect(await failure(listVoices(`wss://${host}`, options))).toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining('100 ms'),
  });
});

it('tells that the answer of such a server broke off', async () => {
  const host = await secure((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
    response.write('{', () => response.destroy());
  });
  expect(await failure(listVoices(`wss://${host}`, { insecure: true }))).toMatchObject({ code: 'unreachable' });
});

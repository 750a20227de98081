import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { workletsAsText } from '../../client/worklets.build';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** What {@link hostPage} serves. */
export interface HostOptions {
  /** The document; default: an empty one with the bundle of `entry`. */
  readonly html?: string;
  /** TypeScript or JavaScript file that becomes `/entry.js`, bundled with this repository's sources as browsers get them. */
  readonly entry?: string;
  /** More bundles and files, by path: `.ts` is bundled, the rest served as it is. */
  readonly files?: Readonly<Record<string, string>>;
  /** The Content-Security-Policy of every answer. */
  readonly csp?: string;
  /** `http://host:port` that gets what this page has not, WebSockets too, so that page and server have one origin. */
  readonly proxy?: string;
}

/** A page that is being served. */
export interface HostedPage {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves a page of a test on a port of its own of the loopback interface, which browsers trust with a microphone. */
export async function hostPage(options: HostOptions): Promise<HostedPage> {
  const { entry, csp, proxy } = options;
  const html = options.html ?? `<!doctype html><meta charset="utf-8"><title>test</title>${entry ? SCRIPT : ''}`;
  const files = new Map<string, { type: string; body: string | Uint8Array }>([
    ['/', { type: 'text/html; charset=utf-8', body: html }],
    // Chromium asks for it by itself, and a 404 would be an error in the console.
    ['/favicon.ico', { type: 'image/png', body: '' }],
  ]);
  if (entry) files.set('/entry.js', { type: 'text/javascript', body: await bundle(entry) });
  for (const [path, file] of Object.entries(options.files ?? {})) files.set(path, await load(file));

  const server = createServer((incoming, response) => {
    const file = files.get(new URL(incoming.url ?? '/', 'http://host').pathname);
    if (csp) response.setHeader('content-security-policy', csp);
    if (file) response.setHeader('content-type', file.type).end(file.body);
    else if (proxy) forward(proxy, incoming, response);
    else response.writeHead(404).end();
  });
  if (proxy) server.on('upgrade', (incoming, socket, head) => tunnel(proxy, incoming, socket as Socket, head));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const SCRIPT = '<script type="module" src="/entry.js"></script>';
const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

async function load(file: string): Promise<{ type: string; body: string | Uint8Array }> {
  if (extname(file) === '.ts') return { type: 'text/javascript', body: await bundle(file) };
  return { type: TYPES[extname(file)] ?? 'application/octet-stream', body: await readFile(file) };
}

async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: ROOT,
    tsconfig: `${ROOT}/tsconfig.json`,
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    plugins: [workletsAsText],
    target: 'es2022',
    // Named by libopus-wasm where it finds itself in Node, which it does not here.
    external: ['node:*'],
    sourcemap: 'inline',
    logLevel: 'error',
  });
  return outputFiles[0]!.text;
}

function forward(proxy: string, incoming: IncomingMessage, response: ServerResponse): void {
  const { method, url, headers } = incoming;
  const onward = request(new URL(url ?? '/', proxy), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  incoming.pipe(onward);
}

function tunnel(proxy: string, incoming: IncomingMessage, socket: Socket, head: Buffer): void {
  const { hostname, port } = new URL(proxy);
  const onward = connect(Number(port), hostname, () => {
    const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`];
    for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
      lines.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`);
    }
    onward.write(`${lines.join('\r\n')}\r\n\r\n`);
    onward.write(head);
    onward.pipe(socket).pipe(onward);
  });
  onward.on('error', () => socket.destroy());
  socket.on('error', () => onward.destroy());
}

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { builtPagePolicy, pageHeaders } from './csp';
import { sendText } from './respond';
import { contentType, matchesTag } from './static-files';

/** The web page to talk with: its document at `/` and `/test-voice`, everything it loads below `/_moshi/`. */
export interface PageFiles {
  /** Whether this path is the page's. */
  owns(path: string): boolean;
  /** Answers a GET or HEAD for a path it owns, still percent-encoded and without query. */
  answer(request: IncomingMessage, response: ServerResponse, path: string): void;
}

/** Paths that show the document; it looks at its own address for which way of talking is meant. */
const documentPaths = new Set(['/', '/test-voice']);
const assetPrefix = '/_moshi/';
/** Endings of what is compressed already. */
const packed = /\.(png|woff2|wasm|ico)$/;

interface PageFile {
  readonly type: string;
  readonly etag: string;
  readonly bytes: Buffer;
  /** Undefined where compressing does not pay. */
  readonly gzipped: Buffer | undefined;
}

/**
 * Reads a built page into memory, where nothing can be asked for that is not in it: `index.html`, and beside it the folder
 * `_moshi` of files named by their content. Undefined when there is none, as in a checkout that was not built.
 */
export async function openPage(folder = builtFolder()): Promise<PageFiles | undefined> {
  let document: PageFile;
  const assets = new Map<string, PageFile>();
  try {
    document = await readPageFile(join(folder, 'index.html'));
    for (const name of await readdir(join(folder, '_moshi'))) {
      assets.set(assetPrefix + name, await readPageFile(join(folder, '_moshi', name)));
    }
  } catch {
    return undefined;
  }
  return {
    owns: (path) => documentPaths.has(path) || path.startsWith(assetPrefix),
    answer: (request, response, path) => {
      const asset = assets.get(path);
      if (asset) sendFile(request, response, asset, { 'cache-control': 'public, max-age=31536000, immutable' });
      else if (documentPaths.has(path)) sendFile(request, response, document, { 'cache-control': 'no-cache' });
      else sendText(response, 404, 'There is no such file here: reload the page.');
    },
  };
}

/** Where the page lies beside the built module; run from sources, what the last build left. */
function builtFolder(): string {
  const fromSources = import.meta.url.endsWith('.ts');
  return fileURLToPath(new URL(fromSources ? '../../dist/page/' : './page/', import.meta.url));
}

async function readPageFile(path: string): Promise<PageFile> {
  const bytes = await readFile(path);
  const digest = createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
  const gzipped = packed.test(path) ? undefined : await promisify(gzip)(bytes, { level: 9 });
  return {
    type: contentType(path),
    // Weak, as one tag stands for both encodings.
    etag: `W/"${digest}"`,
    bytes,
    gzipped: gzipped && gzipped.length < bytes.length ? gzipped : undefined,
  };
}

function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  file: PageFile,
  caching: Record<string, string>,
): void {
  const headers = { ...pageHeaders(builtPagePolicy), ...caching, etag: file.etag, vary: 'accept-encoding' };
  if (matchesTag(request.headers['if-none-match'], file.etag)) {
    response.writeHead(304, headers).end();
    return;
  }
  const gzipped = takesGzip(request.headers['accept-encoding']) ? file.gzipped : undefined;
  const body = gzipped ?? file.bytes;
  response.writeHead(200, {
    ...headers,
    'content-type': file.type,
    'content-length': body.length,
    ...(gzipped && { 'content-encoding': 'gzip' }),
  });
  // Node leaves the body out of answers to HEAD.
  response.end(body);
}

function takesGzip(header: string | string[] | undefined): boolean {
  return String(header ?? '')
    .split(',')
    .some((coding) => /^\s*gzip\s*(;\s*q=(1|0\.\d*[1-9]\d*)\b.*)?$/i.test(coding));
}

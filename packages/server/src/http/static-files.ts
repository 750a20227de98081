import { open, realpath } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ServerError } from '../errors';
import { sendText } from './respond';

/** Serves the files of one folder, and nothing outside it. */
export interface StaticFiles {
  /** Answers a GET or HEAD for this path (still percent-encoded, no query). Never rejects. */
  serve(request: IncomingMessage, response: ServerResponse, path: string): Promise<void>;
}

/** Opens a folder for serving. Throws `BAD_OPTION` when there is none. */
export async function openStaticFiles(folder: string): Promise<StaticFiles> {
  let root: string;
  try {
    root = await realpath(folder);
    const handle = await open(root);
    const isFolder = (await handle.stat()).isDirectory();
    await handle.close();
    if (!isFolder) throw new Error('not a folder');
  } catch (error) {
    throw new ServerError('BAD_OPTION', `staticDir ${folder} is not a folder that can be read: check the path`, {
      cause: error,
    });
  }
  return { serve: (request, response, path) => serve(root, request, response, path) };
}

/**
 * The path inside the folder as safe segments, or undefined when it must not be served: bytes that do not decode, NUL,
 * `..`, dotfiles, back slashes and colons (drives and streams on Windows), empty segments.
 */
export function safeSegments(path: string): string[] | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  if (!decoded.startsWith('/') || /[\0\\:]/.test(decoded)) return undefined;
  const segments = decoded.slice(1).split('/');
  const last = segments.pop()!;
  if (segments.some((segment) => segment === '' || segment.startsWith('.')) || last.startsWith('.')) return undefined;
  return [...segments, last === '' ? 'index.html' : last];
}

async function serve(root: string, request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const segments = safeSegments(path);
  const file = segments && (await openInside(root, segments));
  if (!file) {
    sendText(response, 404, 'There is no such file here.');
    return;
  }
  try {
    if (file.folder) {
      // Relative links on a folder's page only work below its slash.
      response.setHeader('location', `/${segments.map(encodeURIComponent).join('/')}/`);
      sendText(response, 301, 'This is a folder: add a slash.');
      return;
    }
    response.setHeader('etag', file.etag);
    response.setHeader('cache-control', 'no-cache');
    if (matchesTag(request.headers['if-none-match'], file.etag)) {
      response.writeHead(304).end();
      return;
    }
    response.setHeader('content-type', contentType(segments.at(-1)!));
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('content-length', file.size);
    response.writeHead(200);
    if (request.method === 'HEAD' || file.size === 0) {
      response.end();
      return;
    }
    await pipeline(file.read(), response);
  } catch {
    // The reader went away, or the file shrank under us: the length promised cannot be kept.
    response.destroy();
  } finally {
    await file.close();
  }
}

async function openInside(root: string, segments: string[]) {
  try {
    // Symbolic links are followed first: what counts is where the file really is.
    const path = await realpath(join(root, ...segments));
    if (path !== root && !path.startsWith(root.endsWith(sep) ? root : root + sep)) return undefined;
    const handle = await open(path);
    const stat = await handle.stat();
    if (!stat.isFile() && !stat.isDirectory()) {
      await handle.close();
      return undefined;
    }
    return {
      folder: stat.isDirectory(),
      size: stat.size,
      etag: `W/"${stat.size.toString(36)}-${Math.round(stat.mtimeMs).toString(36)}"`,
      read: () => handle.createReadStream({ start: 0, end: stat.size - 1, autoClose: false }),
      close: () => handle.close(),
    };
  } catch {
    return undefined;
  }
}

/** Whether what a client has is what there is: its `if-none-match` against an etag. */
export function matchesTag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  const tags = header.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.includes('*') || tags.includes(etag.replace(/^W\//, ''));
}

const contentTypes: Readonly<Record<string, string>> = {
  '.avif': 'image/avif',
  '.css': 'text/css; charset=utf-8',
  '.gif': 'image/gif',
  '.htm': 'text/html; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.mp3': 'audio/mpeg',
  '.ogg': 'audio/ogg',
  '.opus': 'audio/ogg',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.wav': 'audio/wav',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.xml': 'application/xml',
};

/** The media type a file's ending stands for; bytes when it is unknown. */
export function contentType(name: string): string {
  return contentTypes[extname(name).toLowerCase()] ?? 'application/octet-stream';
}

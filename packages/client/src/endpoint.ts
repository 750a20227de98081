import type { Dialect } from '@moshi/protocol';
import { MoshiError } from './errors';

const SCHEMES: Record<string, string> = { 'ws:': 'ws:', 'http:': 'ws:', 'wss:': 'wss:', 'https:': 'wss:' };

/**
 * Makes a WebSocket address of what people write: `localhost:8998`, `https://host`, `ws://host:8998/api/chat?x=1`.
 * Without a scheme, scheme and port are the dialect's usual ones; with one, the port is the one it stands for. Without
 * a path it is the dialect's. Throws {@link MoshiError} `bad-option`.
 */
export function resolveEndpoint(address: string | URL, dialect: Pick<Dialect, 'path' | 'defaultPort' | 'secure'>): URL {
  const text = String(address).trim();
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const bare = text.replace(/^([a-z][a-z0-9+.-]*:)?\/\//i, '');
  let url: URL;
  try {
    // Of `/path` and `ws:///path` a host would be made.
    if (authority(bare) === '') throw new TypeError('it has no host');
    url = new URL(hasScheme ? text : `${dialect.secure ? 'wss' : 'ws'}://${bare}`);
  } catch (cause) {
    throw new MoshiError('bad-option', `'${text}' is not an address: write it like ws://localhost:8998`, { cause });
  }
  const scheme = SCHEMES[url.protocol];
  if (scheme === undefined) {
    throw new MoshiError('bad-option', `cannot speak ${url.protocol}// here: use ws, wss, http or https`);
  }
  url.protocol = scheme;
  if (!hasScheme && !/:\d+$/.test(authority(bare))) url.port = String(dialect.defaultPort);
  if (url.pathname === '/') url.pathname = dialect.path;
  url.hash = '';
  return url;
}

/** The address for messages and logs: no query and no password, which may be secrets. */
export function displayUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

function authority(address: string): string {
  return address.split(/[/?#]/, 1)[0] ?? '';
}

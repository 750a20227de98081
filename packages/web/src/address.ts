import { publishedServer } from './words';

/** What the page's own address asks for. */
export interface PageAddress {
  /** The server to talk with: a WebSocket address without a query. */
  readonly server: string;
  /** Host of a server that is not the one this page came from; its visitor has to agree to it. */
  readonly foreignHost?: string;
  /** Text mode: no microphone, the model says what is typed. */
  readonly textMode: boolean;
  /** Opens this page's own server, never a foreign one. */
  readonly key?: string;
  /** Ticket of a queue in front of the server. */
  readonly workerAuthId?: string;
  readonly email?: string;
  /** What is wrong with the address, for its reader. */
  readonly problem?: string;
}

/** Reads the page's address, which any link may have made: nothing in it is trusted. */
export function readAddress(href: string): PageAddress {
  const page = new URL(href);
  const given = (name: string) => page.searchParams.get(name)?.trim() || undefined;
  const own = new URL('api/chat', page);
  own.protocol = own.protocol === 'https:' ? 'wss:' : 'ws:';
  const textMode = /\/test-voice\/?$/.test(page.pathname);
  const shared = { textMode, workerAuthId: given('worker_auth_id'), email: given('email') };
  const worker = given('worker_addr');
  if (worker === undefined) return { ...shared, server: plain(own), key: given('key') };
  const foreign = workerAddress(worker, page);
  if (typeof foreign === 'string') return { ...shared, server: plain(own), key: given('key'), problem: foreign };
  if (foreign.host === own.host && foreign.protocol === own.protocol && foreign.pathname === own.pathname) {
    return { ...shared, server: plain(own), key: given('key') };
  }
  return { ...shared, server: plain(foreign), foreignHost: foreign.host };
}

/** The page's address without its secrets, to show in the address bar; undefined when there are none in it. */
export function withoutSecrets(href: string): string | undefined {
  const page = new URL(href);
  if (!page.searchParams.has('key')) return undefined;
  page.searchParams.delete('key');
  return page.href;
}

/** `host:port` as the official pages take it, or a whole address; a sentence when it cannot be used. */
function workerAddress(worker: string, page: URL): URL | string {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(worker);
  let url: URL;
  try {
    url = new URL(hasScheme ? worker : `${page.protocol}//${worker}`);
  } catch {
    return publishedServer.unreadable(worker);
  }
  const scheme = { 'ws:': 'ws:', 'http:': 'ws:', 'wss:': 'wss:', 'https:': 'wss:' }[url.protocol];
  if (scheme === undefined) return publishedServer.scheme(worker);
  if (url.username !== '' || url.password !== '') return publishedServer.password();
  // Browsers let a page of https speak with wss alone, this machine aside.
  if (page.protocol === 'https:' && scheme === 'ws:' && !isLocal(url.hostname))
    return publishedServer.insecure(url.host);
  url.protocol = scheme;
  if (url.pathname === '/') url.pathname = '/api/chat';
  return url;
}

function isLocal(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '127.0.0.1' || host === '[::1]';
}

function plain(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

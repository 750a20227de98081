import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ServerError } from './errors';

/** Why a connection is refused before the upgrade. */
export interface Refusal {
  status: number;
  text: string;
  headers?: Record<string, string>;
}

/** Decides which web pages and which keys may open a conversation. */
export class Access {
  readonly #origins: ReadonlySet<string> | '*';
  readonly #keys: readonly Buffer[] | undefined;

  /** Throws `BAD_OPTION` for an origin that is none. */
  constructor(origins: readonly string[] | '*' = [], keys?: readonly string[]) {
    this.#origins = origins === '*' ? '*' : new Set(origins.map(normalOrigin));
    this.#keys = keys?.map(digest);
  }

  /** The reason to refuse this request, or undefined. */
  check(request: IncomingMessage, query: URLSearchParams): Refusal | undefined {
    const { origin } = request.headers;
    if (origin !== undefined && !this.allowsOrigin(origin, request.headers.host)) return foreignOrigin(origin);
    if (this.#keys && !this.#keyKnown(request, query)) {
      return {
        status: 401,
        text: 'A key is needed: send "authorization: Bearer KEY", or add ?key=KEY to the address.',
        headers: { 'www-authenticate': 'Bearer' },
      };
    }
    return undefined;
  }

  /** Whether pages of this origin may connect to a server they know by this host name. */
  allowsOrigin(origin: string, host: string | undefined): boolean {
    if (this.#origins === '*' || this.#origins.has(origin)) return true;
    try {
      const page = new URL(origin);
      // A proxy may have taken TLS off: only the host is compared, with the page's scheme giving the default port.
      return host !== undefined && page.host !== '' && new URL(`${page.protocol}//${host}`).host === page.host;
    } catch {
      return false;
    }
  }

  #keyKnown(request: IncomingMessage, query: URLSearchParams): boolean {
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    const given = [bearer, query.get('key')].filter((key) => key !== null && key !== undefined).map(digest);
    // Digests have one length and are compared in constant time: the answer's time says nothing about the key.
    return given.some((one) => this.#keys!.some((known) => timingSafeEqual(one, known)));
  }
}

/** The refusal of a page that is not on the list; its address is in it as it has to be written there. */
export function foreignOrigin(origin: string): Refusal {
  const named = JSON.stringify(origin.slice(0, 200));
  return {
    status: 403,
    text: `Web pages of ${named} may not connect; the option origins (moshi serve --origin) lets them.`,
  };
}

const digest = (key: string) => createHash('sha256').update(key).digest();

function normalOrigin(origin: string): string {
  if (origin === 'null') return origin;
  try {
    const parsed = new URL(origin);
    if (parsed.origin !== 'null') return parsed.origin;
    // Schemes of apps (capacitor://localhost, chrome-extension://id) have no standard origin; browsers send scheme and host.
    if (parsed.host !== '') return `${parsed.protocol}//${parsed.host}`;
  } catch {}
  throw new ServerError('BAD_OPTION', `origins holds ${JSON.stringify(origin)}: write it as https://app.example.com`);
}

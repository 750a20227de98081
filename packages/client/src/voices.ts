import { displayUrl, resolveEndpoint } from './endpoint';
import { MoshiError } from './errors';
import { type HttpAnswer, httpGet } from './http';
import { type ConnectOptions, knownDialect } from './options';

/** A voice of a server. */
export interface Voice {
  /** The name to give as `voice` when connecting, without file extension. */
  readonly name: string;
}

/** Options of {@link listVoices}; those that `connect` has too mean the same. */
export interface ListVoicesOptions extends Pick<ConnectOptions, 'dialect' | 'headers' | 'insecure' | 'signal'> {
  /** How long the server may take to answer, in ms; default 10 000, 0 is for ever. */
  readonly timeoutMs?: number;
}

/** The voices that came with PersonaPlex, sorted by name. Its own server has no way to ask for them. */
export const publishedVoices: readonly string[] = [
  ...['NATF0', 'NATF1', 'NATF2', 'NATF3'],
  ...['NATM0', 'NATM1', 'NATM2', 'NATM3'],
  ...['VARF0', 'VARF1', 'VARF2', 'VARF3', 'VARF4'],
  ...['VARM0', 'VARM1', 'VARM2', 'VARM3', 'VARM4'],
];

/** Stock servers answer what they do not know with one of these, or with their web page. */
const NO_ROUTE = new Set([404, 405, 426, 501]);

/**
 * The voices of a server, sorted by name: `GET /api/voices` next to the path of the conversation, which is what
 * `@moshi/server` answers. Of a server without that route it is none, or with `dialect: 'personaplex'` the published 18.
 *
 * Rejects with {@link MoshiError}: `bad-option`, `unreachable`, `refused` (a key, an origin), `aborted`, `malformed`, and
 * `unsupported` for what the runtime cannot do.
 */
export async function listVoices(url: string | URL, options: ListVoicesOptions = {}): Promise<Voice[]> {
  const { dialect = 'auto', timeoutMs = 10_000 } = options;
  if (!(timeoutMs >= 0)) throw new MoshiError('bad-option', `timeoutMs must be a number of ms, not ${timeoutMs}`);
  const address = voicesAddress(resolveEndpoint(url, knownDialect(dialect)));
  const answer = await httpGet(address, { ...options, timeoutMs });
  if (answer.status === 200 && /\bjson\b/.test(answer.type)) return readVoices(answer, address);
  if (answer.status !== 200 && !NO_ROUTE.has(answer.status)) {
    const what = answer.status === 401 || answer.status === 403 ? ': give the key the server asks for' : '';
    throw new MoshiError('refused', `${displayUrl(address)} answered with HTTP ${answer.status}${what}`, {
      retryable: answer.status === 429 || answer.status >= 500,
    });
  }
  return dialect === 'personaplex' ? publishedVoices.map((name) => ({ name })) : [];
}

/** `ws://host/api/chat` becomes `http://host/api/voices`; a query stays, because it may hold a key. */
function voicesAddress(url: URL): URL {
  const address = new URL(url);
  address.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
  address.pathname = url.pathname.replace(/[^/]*$/, 'voices');
  return address;
}

function readVoices({ text }: HttpAnswer, address: URL): Voice[] {
  const malformed = () => {
    return new MoshiError(
      'malformed',
      `${displayUrl(address)} did not answer with a list of voices: check the address`,
    );
  };
  let voices: unknown;
  try {
    voices = (JSON.parse(text) as { voices?: unknown } | null)?.voices;
  } catch {
    throw malformed();
  }
  if (!Array.isArray(voices)) throw malformed();
  const names = voices.map((voice: { name?: unknown } | null) => voice?.name);
  if (!names.every((name): name is string => typeof name === 'string' && name !== '')) throw malformed();
  return names.sort().map((name) => ({ name }));
}

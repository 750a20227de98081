import { insecureFetch } from '#platform';
import { displayUrl } from './endpoint';
import { MoshiError } from './errors';
import type { NodeSocketOptions } from './platform/types';
import { startTimer } from './timer';

/** What a server answered to a GET. */
export interface HttpAnswer {
  readonly status: number;
  /** Its content-type, empty when it gave none. */
  readonly type: string;
  readonly text: string;
}

/** The answers asked for here are short; a long one is not what was asked for. */
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Gets a short text. Rejects with {@link MoshiError} `unreachable`, `aborted`, `malformed` or `unsupported`. */
export async function httpGet(
  url: URL,
  options: NodeSocketOptions & { readonly signal?: AbortSignal; readonly timeoutMs: number },
): Promise<HttpAnswer> {
  const { insecure, signal, timeoutMs } = options;
  const shown = displayUrl(url);
  const controller = new AbortController();
  const onAbort = () => controller.abort();
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) onAbort();
  const timer = startTimer(onAbort, timeoutMs);
  const get = insecure && url.protocol === 'https:' ? insecureFetch : fetch;
  try {
    const { address, headers } = withoutPassword(url, options.headers);
    const response = await get(address, { headers, signal: controller.signal });
    const text = await readText(response);
    if (text === undefined)
      throw new MoshiError('malformed', `${shown} answers with more than 1 MiB: check the address`);
    return { status: response.status, type: response.headers.get('content-type') ?? '', text };
  } catch (cause) {
    if (cause instanceof MoshiError) throw cause;
    if (signal?.aborted) throw new MoshiError('aborted', 'the request was aborted', { cause: signal.reason });
    const why = controller.signal.aborted ? `no answer in ${timeoutMs} ms` : reason(cause);
    throw new MoshiError('unreachable', `cannot reach ${shown} (${why}): is a server running there?`, {
      retryable: true,
      cause,
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    // Whatever is still on its way is not wanted any more.
    controller.abort();
  }
}

/** fetch takes no address with a password in it. */
function withoutPassword(url: URL, headers: Readonly<Record<string, string>> = {}) {
  if (url.username === '' && url.password === '') return { address: url, headers };
  const address = new URL(url);
  address.username = '';
  address.password = '';
  const secret = new TextEncoder().encode(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`);
  return { address, headers: { authorization: `Basic ${btoa(String.fromCharCode(...secret))}`, ...headers } };
}

/** The whole text, undefined when it is too long. */
async function readText(response: Response): Promise<string | undefined> {
  if (!response.body) return '';
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (let bytes = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > MAX_ANSWER_BYTES) return undefined;
    text += decoder.decode(value, { stream: true });
  }
}

/** fetch says "fetch failed" and keeps what happened in the cause. */
function reason(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}

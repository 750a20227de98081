import { HubError, systemCode } from './errors';

/** What a {@link HubClient} needs to know about the hub. */
export interface HubClientOptions {
  /** Address of the hub, for example `https://huggingface.co`. */
  readonly endpoint: string;
  /** Access token, sent to the endpoint's own host only. */
  readonly token?: string;
  /** Cancels every request with the signal's reason. */
  readonly signal?: AbortSignal;
  /** A connection silent for so many milliseconds counts as broken. */
  readonly stallMs: number;
}

/** One answer of the hub, with its body still to be read. */
export interface HubResponse {
  readonly status: number;
  readonly headers: Headers;
  /** Headers of the redirects passed on the way, first one first. */
  readonly hops: readonly Headers[];
  /** The body's chunks as they arrive; throws {@link HubError} (`network`) when the connection breaks or stalls. */
  body(): AsyncGenerator<Uint8Array, void>;
  /** Drops the body and the connection. */
  cancel(): Promise<void>;
}

const MAX_REDIRECTS = 10;

/** Speaks HTTP with a hub: follows redirects by hand, so that the token never travels to another host. */
export class HubClient {
  readonly endpoint: URL;
  readonly #options: HubClientOptions;

  /** Throws {@link HubError} (`bad-reference`) when the endpoint is not an http(s) address. */
  constructor(options: HubClientOptions) {
    this.#options = options;
    try {
      this.endpoint = new URL(options.endpoint.endsWith('/') ? options.endpoint : `${options.endpoint}/`);
      if (!/^https?:$/.test(this.endpoint.protocol)) throw new Error('not http');
    } catch {
      throw new HubError('bad-reference', `HF_ENDPOINT is "${options.endpoint}": expected an http(s) address`);
    }
  }

  /** Asks for a file's headers; redirects to other hosts are not followed: their headers are what is wanted. */
  head(path: string): Promise<HubResponse> {
    return this.#request(new URL(path, this.endpoint), 'HEAD', {}, (from, to) => from.host === to.host);
  }

  /** Asks for a file's bytes from offset `from` on, wherever the hub redirects to. */
  get(path: string, from: number): Promise<HubResponse> {
    const headers: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    return this.#request(new URL(path, this.endpoint), 'GET', headers, () => true);
  }

  async #request(
    start: URL,
    method: string,
    extra: Record<string, string>,
    follow: (from: URL, to: URL) => boolean,
  ): Promise<HubResponse> {
    const hops: Headers[] = [];
    let url = start;
    for (;;) {
      const response = await this.#once(url, method, extra, hops);
      const location = response.headers.get('location');
      if (response.status < 300 || response.status > 399 || location === null) return response;
      const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
      if (!next || !/^https?:$/.test(next.protocol)) throw this.#broken(new Error('it redirects to a bad address'));
      if (!follow(url, next)) return response;
      await response.cancel();
      hops.push(response.headers);
      if (hops.length > MAX_REDIRECTS) throw this.#broken(new Error(`more than ${MAX_REDIRECTS} redirects`));
      url = next;
    }
  }

  async #once(url: URL, method: string, extra: Record<string, string>, hops: readonly Headers[]): Promise<HubResponse> {
    const { token, signal, stallMs } = this.#options;
    signal?.throwIfAborted();
    const headers: Record<string, string> = {
      ...extra,
      'accept-encoding': 'identity',
      'user-agent': `moshi-js; node/${process.versions.node}`,
    };
    if (token !== undefined && url.origin === this.endpoint.origin) headers.authorization = `Bearer ${token}`;
    const abort = new AbortController();
    const forward = () => abort.abort(signal?.reason);
    signal?.addEventListener('abort', forward, { once: true });
    const watch = new StallWatch(stallMs, () => abort.abort(new Error(`no data for ${Math.round(stallMs / 1000)} s`)));
    const release = () => {
      watch.stop();
      signal?.removeEventListener('abort', forward);
    };
    const fail = (error: unknown) => {
      release();
      return signal?.aborted ? signal.reason : this.#broken(error);
    };
    let response: Response;
    try {
      watch.touch();
      response = await fetch(url, { method, headers, redirect: 'manual', signal: abort.signal });
    } catch (error) {
      throw fail(error);
    }
    watch.stop();
    const reader = response.body?.getReader();
    return {
      status: response.status,
      headers: response.headers,
      hops,
      cancel: async () => {
        release();
        await reader?.cancel().catch(() => {});
      },
      body: async function* () {
        try {
          while (reader) {
            watch.touch();
            const { done, value } = await reader.read();
            watch.stop();
            if (done) break;
            yield value;
          }
        } catch (error) {
          throw fail(error);
        } finally {
          release();
          await reader?.cancel().catch(() => {});
        }
      },
    };
  }

  #broken(error: unknown): HubError {
    const { host } = this.endpoint;
    return new HubError(
      'network',
      `cannot fetch from ${host}: ${rootCause(error)}. Check the network (and HF_ENDPOINT if it is set); ` +
        'a model folder that is already on this machine works without one: give its path.',
      { cause: error },
    );
  }
}

/** A timer that fires unless it is touched or stopped in time. */
class StallWatch {
  readonly #ms: number;
  readonly #onStall: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(ms: number, onStall: () => void) {
    this.#ms = ms;
    this.#onStall = onStall;
  }

  touch(): void {
    this.stop();
    this.#timer = setTimeout(this.#onStall, this.#ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** undici says "fetch failed" or "terminated" and keeps the reason in `cause`. */
function rootCause(error: unknown): string {
  let current = error;
  for (let depth = 0; depth < 5 && current instanceof Error && current.cause instanceof Error; depth++) {
    current = current.cause;
  }
  const text = current instanceof Error ? current.message || systemCode(current) || current.name : String(current);
  return (text ?? 'unknown reason').replace(/\s+/g, ' ').slice(0, 200);
}

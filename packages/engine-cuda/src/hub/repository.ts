import { rename, stat } from 'node:fs/promises';
import { RepositoryCache } from './cache';
import { explainDiskError, HubError, systemCode } from './errors';
import type { HubClient, HubResponse } from './http';
import { withFileLock } from './lock';
import type { ProgressListener } from './progress';
import { type HubRepository, isSafePath } from './reference';
import { transfer } from './transfer';

/** How {@link RemoteRepository} works. */
export interface RemoteOptions {
  readonly cacheDir: string;
  readonly offline: boolean;
  readonly hasToken: boolean;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
  readonly retries: number;
  readonly retryDelayMs: number;
}

/** A file that was found: in the cache already, or on the hub and still to be fetched. */
export type FoundFile =
  | { readonly kind: 'cached'; readonly file: string; readonly path: string }
  | {
      readonly kind: 'remote';
      readonly file: string;
      readonly commit: string;
      readonly etag: string;
      readonly size: number | undefined;
    };

const SHA256 = /^[0-9a-f]{64}$/;

/** One repository of the hub at one revision; its first answer pins the commit that all its files come from. */
export class RemoteRepository {
  readonly cache: RepositoryCache;
  readonly #client: HubClient;
  readonly #repository: HubRepository;
  readonly #options: RemoteOptions;
  #commit: string | undefined;

  constructor(client: HubClient, repository: HubRepository, options: RemoteOptions) {
    this.#client = client;
    this.#repository = repository;
    this.#options = options;
    this.cache = new RepositoryCache(options.cacheDir, repository);
  }

  /** `owner/name`. */
  get name(): string {
    return `${this.#repository.owner}/${this.#repository.name}`;
  }

  /** The folder that shows this repository's files; known once a file was looked for. */
  get root(): string {
    return this.#commit === undefined ? this.cache.root : this.cache.snapshot(this.#commit);
  }

  /** Finds a file in the cache or on the hub; undefined when the repository has no such file. */
  async look(file: string): Promise<FoundFile | undefined> {
    const known = this.#commit ?? (await this.cache.commit());
    const path = known === undefined ? undefined : (await this.cache.find(known, file))?.path;
    const useCached = (path: string): FoundFile => {
      this.#commit ??= known;
      return { kind: 'cached', file, path };
    };
    // A commit's files never change: nothing to ask for.
    const settled = known !== undefined && (known === this.#commit || known === this.#repository.revision);
    if (path !== undefined && (settled || this.#options.offline)) return useCached(path);
    if (this.#options.offline) {
      if (known !== undefined && (await this.cache.isAbsent(known, file))) {
        this.#commit ??= known;
        return undefined;
      }
      throw new HubError(
        'offline',
        `${file} of ${this.name} is not in ${this.#options.cacheDir} and HF_HUB_OFFLINE is set: ` +
          'unset it once to download the model, or give a model folder.',
      );
    }
    try {
      return await this.#ask(file, path === undefined);
    } catch (error) {
      const outOfReach = error instanceof HubError && ['network', 'server', 'gated'].includes(error.code);
      if (path !== undefined && outOfReach) return useCached(path);
      throw error;
    }
  }

  /** Brings a found file to the disk and returns its path in the snapshot folder. */
  async fetch(found: FoundFile): Promise<string> {
    if (found.kind === 'cached') return found.path;
    const { file, commit, etag, size } = found;
    const cached = await this.cache.find(commit, file);
    if (cached && (size === undefined || cached.size === size)) return cached.path;
    const blob = this.cache.blob(etag);
    const part = `${blob}.moshi-part`;
    const { onProgress, signal, retries, retryDelayMs } = this.#options;
    const isThere = async () => {
      const there = await stat(blob).catch(() => undefined);
      return there?.isFile() === true && (size === undefined || there.size === size);
    };
    try {
      if (!(await isThere())) {
        const onWait = async () => {
          const received = (await stat(part).catch(() => undefined))?.size;
          if (received !== undefined) onProgress?.({ file, received, total: size });
        };
        await withFileLock(`${blob}.moshi-lock`, { onWait, signal }, async () => {
          if (await isThere()) return;
          await transfer({
            client: this.#client,
            path: this.#path(file, commit),
            file: `${this.name}/${file}`,
            size,
            sha256: SHA256.test(etag) ? etag : undefined,
            part,
            onProgress: onProgress && ((progress) => onProgress({ ...progress, file })),
            signal,
            retries,
            retryDelayMs,
            explain: (response) => this.#explain(response, file),
          });
          await rename(part, blob).catch(async (error) => {
            if (systemCode(error) !== 'ENOENT' || !(await isThere())) throw error;
          });
        });
      }
      return await this.cache.publish(commit, file, etag);
    } catch (error) {
      throw explainDiskError(error, file, this.#options.cacheDir);
    }
  }

  /** Lets later offline calls find what was fetched; a cache that cannot be written is left as it is. */
  async recordRevision(): Promise<void> {
    if (this.#commit !== undefined) await this.cache.recordCommit(this.#commit).catch(() => {});
  }

  #path(file: string, revision: string): string {
    const { owner, name } = this.#repository;
    return `${owner}/${name}/resolve/${encodeURIComponent(revision)}/${file.split('/').map(encodeURIComponent).join('/')}`;
  }

  async #ask(file: string, patient: boolean): Promise<FoundFile | undefined> {
    const response = await this.#head(file, patient);
    await response.cancel();
    const header = (name: string) =>
      [...response.hops, response.headers].map((headers) => headers.get(name)).find((value) => value !== null);
    const commit = header('x-repo-commit') ?? '';
    if (response.status === 404 && header('x-error-code') === 'EntryNotFound') {
      if (isName(commit)) {
        this.#commit = commit;
        await this.cache.recordAbsent(commit, file).catch(() => {});
      }
      return undefined;
    }
    if (response.status >= 400) throw this.#explain(response, file);
    const etag = (header('x-linked-etag') ?? response.headers.get('etag') ?? '')
      .replace(/^W\//, '')
      .replaceAll('"', '');
    if (!isName(commit) || !isName(etag)) {
      throw new HubError(
        'server',
        `${this.#client.endpoint.host} does not answer like a Hugging Face hub (no x-repo-commit or etag for ${file}): ` +
          'check HF_ENDPOINT.',
      );
    }
    this.#commit = commit;
    const redirected = response.status >= 300;
    const plain = redirected || response.headers.get('content-encoding') !== null;
    const size = header('x-linked-size') ?? (plain ? null : response.headers.get('content-length'));
    return { kind: 'remote', file, commit, etag, size: /^\d{1,15}$/.test(size ?? '') ? Number(size) : undefined };
  }

  async #head(file: string, patient: boolean): Promise<HubResponse> {
    const { retries, retryDelayMs, signal } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const last = !patient || attempt >= retries;
      try {
        const response = await this.#client.head(this.#path(file, this.#commit ?? this.#repository.revision));
        if (last || (response.status < 500 && response.status !== 429)) return response;
        await response.cancel();
      } catch (error) {
        signal?.throwIfAborted();
        if (last) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, retryDelayMs * 2 ** Math.min(attempt, 4)));
      signal?.throwIfAborted();
    }
  }

  #explain(response: HubResponse, file: string): HubError {
    const { status, headers } = response;
    const code = headers.get('x-error-code') ?? '';
    const { host } = this.#client.endpoint;
    const page = new URL(`${this.#repository.owner}/${this.#repository.name}`, this.#client.endpoint).href;
    if (code === 'RepoNotFound' || (status === 404 && !['EntryNotFound', 'RevisionNotFound'].includes(code))) {
      const what = status === 404 && code === '' ? `no ${file} of a model ${this.name}` : `no model ${this.name}`;
      const hint = this.#options.hasToken ? '' : ' A private model needs HF_TOKEN.';
      return new HubError('not-found', `${host} has ${what}: check the spelling.${hint}`);
    }
    if (status === 404 && code === 'RevisionNotFound') {
      const { revision } = this.#repository;
      return new HubError('not-found', `${this.name} has no revision "${revision}": check the spelling.`);
    }
    if (status === 404) return new HubError('not-found', `${this.name} has no file ${file}: check the spelling.`);
    if (status === 401 && code !== 'GatedRepo' && this.#options.hasToken) {
      return new HubError(
        'gated',
        `${host} refuses the access token (401) for ${this.name}: create a new one at ` +
          `${new URL('settings/tokens', this.#client.endpoint).href} and set HF_TOKEN, or unset it for public models.`,
      );
    }
    if (status === 401 || status === 403) {
      const whose = this.#options.hasToken ? ' to one of the account that accepted it' : '';
      return new HubError(
        'gated',
        `this model is gated: accept its licence at ${page}, create a token, set HF_TOKEN${whose}.`,
      );
    }
    return new HubError(
      'server',
      `${host} answers ${status} for ${file} of ${this.name}: try again later, or give a model folder.`,
    );
  }
}

/** Names from the network become names on the disk: one plain path part only. */
function isName(text: string): boolean {
  return isSafePath(text) && !text.includes('/') && text.length <= 128;
}

import { randomUUID } from 'node:crypto';
import { copyFile, link, mkdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { HubError, systemCode } from './errors';
import { type HubRepository, isSafePath } from './reference';

const COMMIT = /^[0-9a-f]{40}$/;

function home(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}

/** The Hugging Face folder: `HF_HOME`, else `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface`. */
export function hubHome(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(home(env.HF_HOME || join(env.XDG_CACHE_HOME || '~/.cache', 'huggingface')));
}

/** The folder that holds downloaded repositories, shared with Python's huggingface_hub. */
export function hubCache(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(home(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hubHome(env), 'hub')));
}

/** The access token: `HF_TOKEN`, else the token file that `hf auth login` writes; undefined when there is none. */
export async function hubToken(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  const fromEnv = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN)?.trim();
  if (fromEnv) return fromEnv;
  const path = home(env.HF_TOKEN_PATH || join(hubHome(env), 'token'));
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim() || undefined;
}

/** One repository's part of the cache, in the layout of Python's huggingface_hub: blobs, snapshots, refs. */
export class RepositoryCache {
  readonly root: string;
  readonly #repository: HubRepository;

  constructor(cacheDir: string, repository: HubRepository) {
    this.#repository = repository;
    this.root = join(cacheDir, `models--${repository.owner}--${repository.name}`);
  }

  /** Where the content with this etag is kept. */
  blob(etag: string): string {
    return join(this.root, 'blobs', etag);
  }

  /** The folder that shows the repository's files at one commit. */
  snapshot(commit: string): string {
    return join(this.root, 'snapshots', commit);
  }

  /** The commit the wanted revision stood at when it was last seen; undefined when it never was. */
  async commit(): Promise<string | undefined> {
    const { revision } = this.#repository;
    if (COMMIT.test(revision)) return revision;
    const text = (await readFile(join(this.root, 'refs', revision), 'utf8').catch(() => '')).trim();
    return isSafePath(text) && !text.includes('/') ? text : undefined;
  }

  /** Records that the wanted revision stands at `commit`, as Python does. */
  async recordCommit(commit: string): Promise<void> {
    const { revision } = this.#repository;
    if (revision === commit || (await this.commit()) === commit) return;
    await writeAtomically(join(this.root, 'refs', revision), commit);
  }

  /** The cached file of one commit, or undefined. */
  async find(commit: string, file: string): Promise<{ path: string; size: number } | undefined> {
    const path = join(this.snapshot(commit), file);
    const found = await stat(path).catch(() => undefined);
    return found?.isFile() ? { path, size: found.size } : undefined;
  }

  /** Remembers that a commit has no such file, as Python does, so that offline use knows it too. */
  async recordAbsent(commit: string, file: string): Promise<void> {
    await writeAtomically(join(this.root, '.no_exist', commit, file), '');
  }

  /** Whether a commit is known to have no such file. */
  async isAbsent(commit: string, file: string): Promise<boolean> {
    return (await stat(join(this.root, '.no_exist', commit, file)).catch(() => undefined)) !== undefined;
  }

  /**
   * Shows a blob as `file` of a commit: a relative symlink; where that takes a privilege, as on Windows, a hard link; a copy where no
   * links are possible. `fs` is for tests.
   */
  async publish(commit: string, file: string, etag: string, fs = { symlink, link, copyFile }): Promise<string> {
    const target = this.blob(etag);
    const path = join(this.snapshot(commit), file);
    await mkdir(dirname(path), { recursive: true });
    const relativeTarget = relative(dirname(path), target);
    if ((await readlink(path).catch(() => undefined)) === relativeTarget) return path;
    const temporary = `${path}.${randomUUID()}.moshi-part`;
    try {
      await fs
        .symlink(relativeTarget, temporary, 'file')
        .catch(unlessNoLinks(() => fs.link(target, temporary)))
        .catch(unlessNoLinks(() => fs.copyFile(target, temporary)));
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    return path;
  }
}

const NO_LINKS = ['EPERM', 'EACCES', 'ENOSYS', 'ENOTSUP', 'EINVAL', 'EMLINK'];

/** What is done in place of a link, where the system or the disk makes none. */
function unlessNoLinks(instead: () => Promise<void>): (error: unknown) => Promise<void> {
  return async (error) => {
    if (!NO_LINKS.includes(systemCode(error) ?? '')) throw error;
    await instead();
  };
}

async function writeAtomically(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}.moshi-part`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}

/** Reads a JSON object of at most `limit` bytes; throws {@link HubError} (`bad-config`) when it is anything else. */
export async function readJsonObject(path: string, limit = 1 << 20): Promise<object> {
  const { size } = await stat(path);
  if (size > limit) throw new HubError('bad-config', `${path} has ${size} bytes: too large for a model's config.json`);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    const why = (error as Error).message.replace(/\s+/g, ' ').slice(0, 160);
    throw new HubError('bad-config', `${path} is not valid JSON (${why}). Repair it, or delete it to fetch it again.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HubError('bad-config', `${path} must hold a JSON object`);
  }
  return value;
}

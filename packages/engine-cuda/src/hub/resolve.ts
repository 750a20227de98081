import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { hubCache, hubToken, readJsonObject } from './cache';
import { HubError } from './errors';
import { HubClient } from './http';
import type { ProgressListener } from './progress';
import { type FileReference, isSafePath, parseFileReference, parseRepository } from './reference';
import { type FoundFile, RemoteRepository } from './repository';
import { configuredName, missingFiles, plausibleName, ROLES, type Role } from './roles';

/** Other files than the model's own: `hf://owner/name/file`, a path on this machine, or a name inside the model. */
export type FileOverrides = { readonly [role in Role | 'config']?: string };

/** How {@link resolveModel} finds and fetches files. */
export interface ResolveOptions {
  /** Files to use in place of the model's own. */
  readonly files?: FileOverrides;
  /** Branch, tag or commit of the repository. Default `main`. */
  readonly revision?: string;
  /** Where downloads are kept. Default `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`, as for Python. */
  readonly cacheDir?: string;
  /** Access token for gated and private models; false sends none. Default `HF_TOKEN` or the token file of `hf auth login`. */
  readonly token?: string | false;
  /** Address of the hub. Default `HF_ENDPOINT` or https://huggingface.co. */
  readonly endpoint?: string;
  /** Uses only what is in the cache. Default `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** Called while files arrive. */
  readonly onProgress?: ProgressListener;
  /** Cancels with the signal's reason; what arrived is kept and continued by the next call. */
  readonly signal?: AbortSignal;
  /** Tries in a row without headway before a broken download is given up. Default 5. */
  readonly retries?: number;
  /** First pause between two tries in milliseconds; doubles up to 16 times this. Default 500. */
  readonly retryDelayMs?: number;
  /** A connection silent for so many milliseconds counts as broken. Default 60 000. */
  readonly stallMs?: number;
}

/** A Mimi codec's files, as absolute paths. */
export interface MimiFiles {
  /** The folder they were found in. */
  root: string;
  /** config.json, parsed; null for repositories without one. */
  config: object | null;
  configPath?: string;
  mimiWeights: string;
  mimiConfig?: string;
}

/** The files of a language model alone, as absolute paths. */
export type LmFiles = Omit<ModelFiles, 'mimiWeights' | 'mimiConfig' | 'tokenizer'>;

/** A model's files, as absolute paths. No config.json (`config` null) means the original Moshi 7B. */
export interface ModelFiles extends MimiFiles {
  lmWeights: string;
  tokenizer: string;
  loraWeights?: string;
}

/**
 * Finds a model: a local folder, or `owner/name` (also `owner/name@revision`) on the Hugging Face hub, whose files are
 * downloaded into the cache that Python's huggingface_hub uses. Throws {@link HubError}; its message names the cure.
 */
export async function resolveModel(ref: string, options: ResolveOptions = {}): Promise<ModelFiles> {
  const found = await resolveRoles(
    ref,
    ['tokenizer', 'mimiConfig', 'mimiWeights', 'loraWeights', 'lmWeights'],
    options,
  );
  return found as ModelFiles;
}

/** Finds only a model's Mimi codec, as {@link resolveModel} does; `ref` may also be the weights file itself. */
export async function resolveMimi(ref: string, options: ResolveOptions = {}): Promise<MimiFiles> {
  const path = localPath(ref);
  if ((await stat(path).catch(() => undefined))?.isFile()) {
    const mimiConfig = options.files?.mimiConfig;
    return {
      root: dirname(path),
      config: null,
      mimiWeights: path,
      ...(mimiConfig && { mimiConfig: localPath(mimiConfig) }),
    };
  }
  return await resolveRoles(ref, ['mimiConfig', 'mimiWeights'], options);
}

/** Finds only a model's language model, as {@link resolveModel} does; `ref` may also be the weights file itself. */
export async function resolveLm(ref: string, options: ResolveOptions = {}): Promise<LmFiles> {
  const path = localPath(ref);
  if ((await stat(path).catch(() => undefined))?.isFile()) {
    const configPath = join(dirname(path), 'config.json');
    const hasConfig = (await stat(configPath).catch(() => undefined))?.isFile();
    return { root: dirname(path), config: null, lmWeights: path, ...(hasConfig && { configPath }) };
  }
  return (await resolveRoles(ref, ['loraWeights', 'lmWeights'], options)) as unknown as LmFiles;
}

/** Finds one file of a model by its name, for example a voice; undefined when the model has no such file. */
export async function resolveFile(
  ref: string,
  file: string,
  options: ResolveOptions = {},
): Promise<string | undefined> {
  if (!isSafePath(file)) throw new HubError('bad-reference', `"${file}" is not a file name inside a model`);
  const source = await openSource(ref, options);
  const found = await source.look(file);
  const path = found && (await source.fetch(found));
  await source.recordRevision();
  return path;
}

/** Where files come from: a folder of this machine or a repository of the hub. */
interface Source {
  readonly name: string;
  readonly root: string;
  look(file: string): Promise<FoundFile | undefined>;
  fetch(found: FoundFile): Promise<string>;
  recordRevision(): Promise<void>;
  /** Names of the folder's files; undefined where they cannot be listed. */
  list?(): Promise<string[]>;
}

interface Candidate {
  role: Role;
  name: string;
  source?: Source;
  found?: FoundFile;
}

async function resolveRoles(ref: string, roles: readonly Role[], options: ResolveOptions): Promise<MimiFiles> {
  const source = await openSource(ref, options);
  const configFile = await overridden(source, options.files?.config, options, 'config.json');
  const configFound = await configFile.source.look(configFile.name);
  if (!configFound && options.files?.config)
    throw new HubError('missing-file', `no such file: ${options.files.config}`);
  const configPath = configFound && (await configFile.source.fetch(configFound));
  const config = configPath === undefined ? null : await readJsonObject(configPath);

  const codecOnly = !roles.includes('lmWeights');
  const looked = await Promise.allSettled(roles.map((role) => findRole(source, role, config, codecOnly, options)));
  // Of several that failed the first role is told, whichever was quicker.
  const candidates = looked.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
  const missing = candidates.filter((c): c is Candidate => c !== undefined && c.found === undefined);
  if (missing.length > 0) throw missingFiles(source.name, missing, await source.list?.());

  const files: Record<string, string> = {};
  const used = new Set([source]);
  for (const candidate of candidates) {
    if (!candidate?.found || !candidate.source) continue;
    files[candidate.role] = await candidate.source.fetch(candidate.found);
    used.add(candidate.source);
  }
  for (const each of used) await each.recordRevision();
  return { root: source.root, config, ...(configPath !== undefined && { configPath }), ...files } as MimiFiles;
}

/** Looks for the file of one role; undefined when the model is not meant to have one. */
async function findRole(
  source: Source,
  role: Role,
  config: object | null,
  codecOnly: boolean,
  options: ResolveOptions,
): Promise<Candidate | undefined> {
  const { key, fallback, others = [] } = ROLES[role];
  const override = options.files?.[role];
  if (override !== undefined) {
    const chosen = await overridden(source, override, options);
    return { role, ...chosen, found: await chosen.source.look(chosen.name) };
  }
  const configured = configuredName(config, role);
  if (configured !== undefined) {
    const reference: FileReference = parseFileReference(configured, key);
    const owner = reference.kind === 'own' ? source : await openRemote(reference.repository, options);
    return { role, name: reference.path, source: owner, found: await owner.look(reference.path) };
  }
  if (fallback === undefined) return undefined;
  const found = await source.look(fallback);
  if (found) return { role, name: fallback, source, found };
  if (!source.list) {
    for (const name of others) {
      const other = await source.look(name);
      if (other) return { role, name, source, found: other };
    }
    return { role, name: fallback, source, found };
  }
  const other = plausibleName(await source.list(), role, codecOnly);
  return { role, name: fallback, source, found: other === undefined ? undefined : await source.look(other) };
}

/** The caller's own choice of a file is trusted: it may be anywhere on this machine. */
async function overridden(
  source: Source,
  override: string | undefined,
  options: ResolveOptions,
  fallback = '',
): Promise<{ source: Source; name: string }> {
  if (override === undefined) return { source, name: fallback };
  if (override.startsWith('hf://')) {
    const reference = parseFileReference(override, 'files');
    if (reference.kind === 'hub')
      return { source: await openRemote(reference.repository, options), name: reference.path };
  }
  const path = localPath(override);
  const isLocal = isAbsolute(override) || (await stat(path).catch(() => undefined))?.isFile() || !isSafePath(override);
  return isLocal ? { source: localFolder(dirname(path)), name: basename(path) } : { source, name: override };
}

async function openSource(ref: string, options: ResolveOptions): Promise<Source> {
  const path = localPath(ref);
  const found = ref === '' ? undefined : await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return localFolder(path);
  if (found) throw new HubError('bad-reference', `${ref} is a file: give the folder that holds the model's files`);
  const repository = parseRepository(ref, options.revision);
  if (repository) return await openRemote(repository, options);
  throw new HubError(
    'bad-reference',
    `there is no folder ${ref || '""'}, and it is not a model of the Hugging Face hub either (owner/name): ` +
      'give the path of a folder with model.safetensors in it, or for example kyutai/moshiko-pytorch-bf16.',
  );
}

async function openRemote(
  repository: ReturnType<typeof parseRepository> & {},
  options: ResolveOptions,
): Promise<Source> {
  const endpoint = options.endpoint ?? (process.env.HF_ENDPOINT || 'https://huggingface.co');
  const token = options.token === false ? undefined : (options.token ?? (await hubToken()));
  const { onProgress, signal, retries = 5, retryDelayMs = 500, stallMs = 60_000 } = options;
  const offline = options.offline ?? /^(1|on|yes|true)$/i.test(process.env.HF_HUB_OFFLINE ?? '');
  return new RemoteRepository(new HubClient({ endpoint, token, signal, stallMs }), repository, {
    cacheDir: resolve(options.cacheDir ?? hubCache()),
    offline,
    hasToken: token !== undefined,
    onProgress,
    signal,
    retries,
    retryDelayMs,
  });
}

function localFolder(root: string): Source {
  return {
    name: root,
    root,
    look: async (file) => {
      const path = join(root, file);
      const found = await stat(path).catch(() => undefined);
      return found?.isFile() ? { kind: 'cached', file, path } : undefined;
    },
    fetch: async (found) => join(root, found.file),
    recordRevision: async () => {},
    list: async () => (await readdir(root)).sort(),
  };
}

function localPath(ref: string): string {
  return resolve(ref === '~' || ref.startsWith('~/') ? join(homedir(), ref.slice(1)) : ref);
}

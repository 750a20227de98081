import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { EngineError } from '../errors';
import { hubCache, type ResolveOptions, resolveFile } from '../hub';
import { parseRepository } from '../hub/reference';
import { type VoiceFile, voiceInFolder, voicesOfFolder } from './folder';
import { PUBLISHED_VOICES, shown, unknownVoice } from './names';
import { unpackVoices } from './unpack';

/** What {@link voiceLibrary} is made of. */
export interface VoiceLibraryOptions
  extends Pick<ResolveOptions, 'cacheDir' | 'endpoint' | 'token' | 'offline' | 'onProgress' | 'signal' | 'revision'> {
  /** Voices of one's own: a folder of voice files, or an archive of them (`voices.tgz`). */
  voices?: string;
  /** The model whose own voices are offered too: a folder, or `owner/name` on the hub; left out: none. */
  model?: string;
}

/** Voices by name: the user's own first, then the model's. */
export interface VoiceLibrary {
  /** All voices, sorted by name. Nothing is downloaded for the published model until one of its voices is asked for. */
  list(): Promise<{ name: string }[]>;
  /**
   * The voice of that name, with or without file extension, upper and lower case told apart. Rejects `ENGINE_BAD_OPTION` with the names
   * there are, when it is unknown.
   */
  find(name: string): Promise<VoiceFile>;
}

/** One place voices come from. */
interface Source {
  names(): Promise<readonly string[]>;
  find(name: string): Promise<VoiceFile | undefined>;
}

const ARCHIVE = 'voices.tgz';
const PUBLISHED_MODEL = 'nvidia/personaplex-7b-v1';

/** Opens a voice library; nothing is fetched or unpacked yet. Throws `ENGINE_BAD_OPTION` when `voices` is neither a folder nor a file. */
export function voiceLibrary(options: VoiceLibraryOptions = {}): VoiceLibrary {
  const sources = [ownVoices(options), modelVoices(options)].filter((source) => source !== undefined);
  const names = async () => {
    const lists = await Promise.all(sources.map((source) => source.names()));
    return [...new Set(lists.flat())].sort(byCodeUnit);
  };
  return {
    list: async () => (await names()).map((name) => ({ name })),
    find: async (name) => {
      if (typeof name !== 'string') throw new EngineError('ENGINE_BAD_OPTION', 'a voice is given by its name, as text');
      for (const source of sources) {
        const found = await source.find(name);
        if (found) return found;
      }
      throw unknownVoice(name, await names());
    },
  };
}

function ownVoices(options: VoiceLibraryOptions): Source | undefined {
  if (options.voices === undefined) return undefined;
  const path = localPath(options.voices);
  const kind = kindOf(path);
  if (kind === 'folder') return folderSource(path);
  if (kind === 'file') return archiveSource(async () => path, options);
  throw new EngineError(
    'ENGINE_BAD_OPTION',
    `there are no voices at ${shown(options.voices)}: give a folder of voice files, or a ${ARCHIVE}`,
  );
}

function modelVoices(options: VoiceLibraryOptions): Source | undefined {
  const { model } = options;
  if (model === undefined) return undefined;
  const path = localPath(model);
  const isLocal = kindOf(path) === 'folder';
  if (isLocal && kindOf(join(path, 'voices')) === 'folder') return folderSource(join(path, 'voices'));
  const { voices: _, model: __, ...hub } = options;
  const repository = isLocal ? undefined : parseRepository(model, options.revision);
  const isPublished = `${repository?.owner}/${repository?.name}` === PUBLISHED_MODEL;
  return archiveSource(() => resolveFile(model, ARCHIVE, hub), options, isPublished ? PUBLISHED_VOICES : undefined);
}

function folderSource(folder: string): Source {
  return { names: () => voicesOfFolder(folder), find: (name) => voiceInFolder(folder, name) };
}

/** Voices of an archive that is fetched and unpacked when first needed; `expected`: its names, where known before. */
function archiveSource(
  fetch: () => Promise<string | undefined>,
  options: VoiceLibraryOptions,
  expected?: readonly string[],
): Source {
  let opening: Promise<Source | undefined> | undefined;
  let opened: Source | undefined;
  const open = () => {
    opening ??= (async () => {
      const archive = await fetch();
      // Beside the hub's cache and not in it, where Python's tools would take it for a broken repository.
      const root = join(dirname(resolve(options.cacheDir ?? hubCache())), 'moshi-voices');
      opened = archive === undefined ? undefined : folderSource(await unpackVoices(archive, root));
      return opened;
    })().catch((error) => {
      // The network may be back for the next one who asks.
      opening = undefined;
      throw error;
    });
    return opening;
  };
  return {
    names: async () => (expected && !opened ? expected : ((await (await open())?.names()) ?? [])),
    find: async (name) => {
      if (expected && !opened && !expected.includes(name.replace(/\.[a-z]+$/, ''))) return undefined;
      return (await open())?.find(name);
    },
  };
}

function kindOf(path: string): 'folder' | 'file' | undefined {
  try {
    const found = statSync(path);
    return found.isDirectory() ? 'folder' : found.isFile() ? 'file' : undefined;
  } catch {
    return undefined;
  }
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function localPath(path: string): string {
  return resolve(path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path);
}

import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { EngineError } from '../errors';
import { systemCode } from '../hub/errors';
import { shown, voiceOfFile } from './names';

/** A voice on this machine. */
export interface VoiceFile {
  /** Its name: the file's, without extension. */
  readonly name: string;
  /** Absolute path of the file. */
  readonly path: string;
  /** Another text whenever the file is another one: made of path, size and time of change. */
  readonly identity: string;
}

interface Entry {
  readonly file: string;
  readonly name: string;
  readonly rank: number;
  /** It is a link that leaves the folder: known, but not to be read. */
  readonly strays: boolean;
}

/** The names of a folder's voices, each once, in no order. Rejects `ENGINE_BAD_OPTION` when the folder cannot be read. */
export async function voicesOfFolder(folder: string): Promise<string[]> {
  const entries = await entriesOf(folder);
  return [...new Set(entries.filter(({ strays }) => !strays).map(({ name }) => name))];
}

/**
 * A folder's voice by its name, with or without extension; undefined when it has none of that name. The name is only compared
 * with those of the listing, never made part of a path. Rejects `ENGINE_BAD_OPTION` for a link that leaves the folder.
 */
export async function voiceInFolder(folder: string, name: string): Promise<VoiceFile | undefined> {
  const wanted = name.normalize('NFC');
  const entries = await entriesOf(folder);
  const named = entries.filter((entry) => entry.name === wanted).sort((a, b) => a.rank - b.rank);
  const entry =
    entries.find(({ file }) => file.normalize('NFC') === wanted) ?? named.find((one) => !one.strays) ?? named[0];
  if (!entry) return undefined;
  if (entry.strays) {
    throw new EngineError(
      'ENGINE_BAD_OPTION',
      `the voice ${shown(entry.name)} is a link that leaves its folder: put a copy of the file there`,
    );
  }
  const path = join(await realpath(folder), entry.file);
  const { size, mtimeNs } = await stat(path, { bigint: true });
  return { name: entry.name, path, identity: `${path}:${size}:${mtimeNs}` };
}

async function entriesOf(folder: string): Promise<Entry[]> {
  let root: string;
  try {
    root = await realpath(folder);
    const entries = await readdir(root, { withFileTypes: true });
    const found = await Promise.all(
      entries.map(async (entry): Promise<Entry | undefined> => {
        const voice = voiceOfFile(entry.name);
        if (!voice || !(entry.isFile() || entry.isSymbolicLink())) return undefined;
        if (entry.isFile()) return { file: entry.name, ...voice, strays: false };
        const target = await realpath(join(root, entry.name)).catch(() => undefined);
        if (target === undefined || !(await stat(target)).isFile()) return undefined;
        return { file: entry.name, ...voice, strays: !target.startsWith(root.endsWith(sep) ? root : root + sep) };
      }),
    );
    return found.filter((entry) => entry !== undefined);
  } catch (error) {
    const why = systemCode(error) ?? (error as Error).message;
    // Clients of a server are told this: they need not know its paths.
    const where = shown(basename(folder));
    throw new EngineError('ENGINE_BAD_OPTION', `the folder of voices ${where} cannot be read (${why}): check it`, {
      cause: error,
    });
  }
}

import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { EngineError } from '../errors';
import { explainDiskError, systemCode } from '../hub/errors';
import { isSafePath } from '../hub/reference';
import { shown, voiceOfFile } from './names';
import { readTar, type TarEntry, TarError } from './tar';

/** What an archive of voices may hold; the published one has 18 files of half a megabyte. */
export const ARCHIVE_LIMITS = { files: 256, headers: 4096, bytes: 512e6, packedBytes: 512e6 };

/**
 * Unpacks an archive of voices (`voices.tgz`) into a folder below `root` named after its content, once, and resolves to that
 * folder. Only voice files directly under `voices/` or at the top are written, by their base names. Rejects `ENGINE_BAD_FILE`,
 * with nothing left behind, for an archive that is damaged, too large, or holds links, devices, duplicates or paths that lead
 * elsewhere.
 */
export async function unpackVoices(archive: string, root: string, limits = ARCHIVE_LIMITS): Promise<string> {
  const before = await fingerprint(archive);
  if (before.size > limits.packedBytes) throw refuse(archive, `it has more than ${limits.packedBytes / 1e6} MB`);
  const folder = join(root, await sha256(archive));
  if (await isFolder(folder)) return folder;
  const temporary = join(root, `unpacking-${randomUUID()}`);
  try {
    await mkdir(temporary, { recursive: true });
    await unpackInto(temporary, archive, limits);
    if ((await fingerprint(archive)).text !== before.text) throw new TarError('it changed while it was read');
    await rename(temporary, folder).catch(async (error) => {
      // Another process unpacked the same meanwhile.
      if (!(await isFolder(folder))) throw error;
    });
    return folder;
  } catch (error) {
    if (error instanceof TarError) throw refuse(archive, error.message, error);
    if (/^Z_|^ERR_.*ZLIB/.test(systemCode(error) ?? '')) throw refuse(archive, zlibReason(error), error);
    throw explainDiskError(error, 'the voices', root);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function unpackInto(folder: string, archive: string, limits: typeof ARCHIVE_LIMITS): Promise<void> {
  const unzipped = createGunzip();
  const flow = pipeline(createReadStream(archive), unzipped).catch(() => {});
  try {
    const written = new Set<string>();
    // Its errors come out of the loop, so that no file is being written any more when they do.
    for await (const entry of readTar(unzipped, limits)) await place(entry, folder, written, limits.files);
  } finally {
    unzipped.destroy();
    await flow;
  }
}

async function place(entry: TarEntry, folder: string, written: Set<string>, maxFiles: number): Promise<void> {
  const path = entry.name.replace(/^(\.\/)+/, '').replace(/\/+$/, '');
  if (path === '' || path === '.') return;
  if (!isSafePath(path))
    throw new TarError(`${shown(entry.name)} in it leads out of its folder or is no proper file name`);
  if (entry.kind === 'link') throw new TarError(`${shown(entry.name)} in it is a link`);
  if (entry.kind === 'other') throw new TarError(`${shown(entry.name)} in it is neither a file nor a folder`);
  const file = basename(path);
  if (entry.kind === 'folder' || (path !== file && path !== `voices/${file}`) || !voiceOfFile(file)) return;
  if (written.size >= maxFiles) throw new TarError(`it holds more than ${maxFiles} voices`);
  written.add(file);
  // Exclusive, which also finds two names that are one on a disk that ignores case.
  const out = await open(join(folder, file), 'wx', 0o644).catch((error) => {
    throw systemCode(error) === 'EEXIST' ? new TarError(`${shown(file)} is in it twice`) : error;
  });
  try {
    for await (const part of entry.body()) await out.writeFile(part);
  } finally {
    await out.close();
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (error) {
    throw refuse(path, systemCode(error) ?? (error as Error).message, error);
  }
  return hash.digest('hex');
}

async function fingerprint(path: string): Promise<{ size: number; text: string }> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    return { size: Number(size), text: `${ino}:${size}:${mtimeNs}` };
  } catch (error) {
    const why =
      systemCode(error) === 'ENOENT' ? 'there is no such file' : (systemCode(error) ?? (error as Error).message);
    throw refuse(path, why, error);
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

function zlibReason(error: unknown): string {
  return systemCode(error) === 'Z_BUF_ERROR' ? 'it is cut short' : 'it is no gzip file, or a damaged one';
}

function refuse(archive: string, why: string, cause?: unknown): EngineError {
  return new EngineError(
    'ENGINE_BAD_FILE',
    // Clients of a server are told this: they need not know its paths.
    `the voices of ${shown(basename(archive))} cannot be unpacked: ${why}; fetch it again, or give a folder of voices`,
    { cause },
  );
}

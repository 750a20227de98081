import { randomUUID } from 'node:crypto';
import { access, constants, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CliError, ExitCode, oneLine } from './exit';

/** Reads an input file whole. Throws {@link CliError} with status 3 when it cannot be read, or is over 2 GiB. */
export async function readInput(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why: Record<string, string> = {
      ENOENT: 'there is no such file: check the path',
      EACCES: 'it may not be read: check its permissions',
      EISDIR: 'it is a folder: give a file',
      ERR_FS_FILE_TOO_LARGE: 'it is over 2 GiB: cut it into pieces',
    };
    throw new CliError(ExitCode.input, `cannot read ${path}: ${why[code ?? ''] ?? oneLine(error)}`, { cause: error });
  }
}

/** Reads and parses an input file; what `parse` throws becomes a {@link CliError} with status 3 that names the file. */
export async function parseInput<T>(path: string, parse: (bytes: Uint8Array) => T): Promise<T> {
  const bytes = await readInput(path);
  try {
    return parse(bytes);
  } catch (error) {
    throw new CliError(ExitCode.input, `${path}: ${oneLine(error)}`, { cause: error });
  }
}

/** Checks before the work that its result can be stored. Throws {@link CliError} with status 2. */
export async function checkOutput(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw new CliError(ExitCode.usage, `${path} is a folder: give the name of a file in it`);
  if (found && !found.isFile()) return;
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const why = missing ? `there is no folder ${folder}: make it first` : `${folder} may not be written to`;
    throw new CliError(ExitCode.usage, `cannot write ${path}: ${why}`, { cause: error });
  }
}

/** Writes a file whole or not at all: what was there stays until the new one is complete. Throws status 1. */
export async function writeOutput(path: string, data: Uint8Array | string): Promise<void> {
  try {
    const found = await stat(path).catch(() => undefined);
    // A device or a pipe is written to, not replaced; a link stays a link.
    if (found && !found.isFile()) return await writeFile(path, data);
    const target = found ? await realpath(path) : resolve(path);
    const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
    try {
      await writeFile(temporary, data, { mode: (found?.mode ?? 0o666) & 0o777 });
      await rename(temporary, target);
    } finally {
      await rm(temporary, { force: true });
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOSPC' ? 'no space left on the disk: free some' : oneLine(error);
    throw new CliError(ExitCode.failed, `cannot write ${path}: ${why}`, { cause: error });
  }
}

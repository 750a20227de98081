import { execFileSync } from 'node:child_process';
import { chmod, constants, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkOutput, writeOutput } from '../src/files';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-cli-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('an output file', () => {
  it('appears whole, replaces the old one and leaves nothing else', async () => {
    const path = join(folder, 'out.txt');
    await writeOutput(path, 'one');
    await chmod(path, 0o600);
    await writeOutput(path, 'two');
    expect(await readFile(path, 'utf8')).toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(['out.txt']);
  });

  it('that cannot be written leaves the old one and no temporary', async () => {
    const path = join(folder, 'out.txt');
    await writeOutput(path, 'old');
    await expect(writeOutput(path, {} as Uint8Array)).rejects.toMatchObject({ status: 1 });
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['out.txt']);
  });

  it('may be a link, which stays one', async () => {
    await writeFile(join(folder, 'real.txt'), 'old');
    await symlink('real.txt', join(folder, 'link.txt'));
    await writeOutput(join(folder, 'link.txt'), 'new');
    expect(await readFile(join(folder, 'real.txt'), 'utf8')).toBe('new');
    expect((await readdir(folder)).sort()).toEqual(['link.txt', 'real.txt']);
  });

  it('may be a pipe or a device, which is written to and never replaced', async () => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    const reader = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
    await checkOutput(path);
    await writeOutput(path, 'through');
    expect((await stat(path)).isFIFO()).toBe(true);
    const { buffer, bytesRead } = await reader.read(Buffer.alloc(100));
    await reader.close();
    expect(buffer.toString('utf8', 0, bytesRead)).toBe('through');
  });

  it('is checked before the work', async () => {
    await expect(checkOutput(folder)).rejects.toMatchObject({
      status: 2,
      message: expect.stringContaining('is a folder'),
    });
    await expect(checkOutput(join(folder, 'no', 'out.wav'))).rejects.toMatchObject({
      status: 2,
      message: expect.stringMatching(/there is no folder .*: make it first/),
    });
    await checkOutput(join(folder, 'out.wav'));
  });
});

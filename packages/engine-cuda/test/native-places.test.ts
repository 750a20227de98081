import { copyFile, link, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RepositoryCache } from '../src/hub/cache';
import { addonPlaces, notBuilt } from '../src/native';

describe('the addon', () => {
  it('is looked for where each system keeps it', () => {
    expect(addonPlaces('/app', { platform: 'linux', arch: 'arm64', env: {} })).toEqual([
      '/app/native/build/moshi.node',
      '/app/prebuilds/linux-arm64/moshi.node',
    ]);
    expect(
      addonPlaces('C:\\My app', { platform: 'win32', arch: 'x64', env: { MOSHI_NATIVE: 'D:\\moshi.node' } }),
    ).toEqual([
      'D:\\moshi.node',
      'C:\\My app\\native\\build\\moshi.node',
      'C:\\My app\\prebuilds\\win32-x64\\moshi.node',
    ]);
    expect(addonPlaces('/app', { platform: 'darwin', arch: 'arm64', env: {} })[1]).toBe(
      '/app/prebuilds/darwin-arm64/moshi.node',
    );
  });

  it('that is missing is an error that names what the system needs', () => {
    const said = (platform: NodeJS.Platform) => notBuilt('it is not there', { platform, arch: 'x64' });
    expect(said('linux')).toMatch(/for linux-x64 cannot be loaded \(it is not there\).*needs make and g\+\+\)$/);
    expect(said('darwin')).toContain('xcode-select --install');
    expect(said('win32')).toContain('MSYS2');
  });
});

describe('a downloaded file', () => {
  let folder: string;
  let cache: RepositoryCache;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moshi-links-'));
    cache = new RepositoryCache(folder, { owner: 'a', name: 'b', revision: 'main' });
    await mkdir(dirname(cache.blob('x')), { recursive: true });
    await writeFile(cache.blob('x'), 'weights');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const refuse = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));

  it('takes no second place on a disk where symlinks need a privilege, as on Windows', async () => {
    const path = await cache.publish('1', 'model', 'x', { symlink: refuse('EPERM'), link, copyFile });
    expect(await readFile(path, 'utf8')).toBe('weights');
    expect((await stat(path)).ino).toBe((await stat(cache.blob('x'))).ino);
  });

  it('is copied where there are no links at all', async () => {
    const path = await cache.publish('2', 'model', 'x', {
      symlink: refuse('EPERM'),
      link: refuse('ENOTSUP'),
      copyFile,
    });
    expect(await readFile(path, 'utf8')).toBe('weights');
    expect((await stat(path)).ino).not.toBe((await stat(cache.blob('x'))).ino);
  });

  it('is not copied when something else is wrong', async () => {
    const full = { symlink: refuse('ENOSPC'), link, copyFile };
    await expect(cache.publish('3', 'model', 'x', full)).rejects.toMatchObject({ code: 'ENOSPC' });
    await expect(cache.publish('4', 'model', 'x', { symlink, link, copyFile })).resolves.toContain('model');
  });
});

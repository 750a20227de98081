import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineError } from '../src/errors';
import { ARCHIVE_LIMITS, unpackVoices } from '../src/voices/unpack';
import { pax, type TarPart, tar, tarEntry, tgz } from './support/tar';

let top: string;
let root: string;
let archive: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'moshi-voices-'));
  root = join(top, 'a', 'b', 'unpacked');
  archive = join(top, 'voices.tgz');
});
afterEach(() => rm(top, { recursive: true, force: true }));

/** Unpacks and gives the files with their content. */
async function unpack(bytes: Buffer, limits = ARCHIVE_LIMITS): Promise<Record<string, string>> {
  await writeFile(archive, bytes);
  const folder = await unpackVoices(archive, root, limits);
  const names = (await readdir(folder)).sort();
  const contents = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
  return Object.fromEntries(names.map((name, i) => [name, contents[i]!]));
}

async function refused(bytes: Buffer, limits = ARCHIVE_LIMITS): Promise<string> {
  const error = await unpack(bytes, limits).then(
    (files) => new Error(`unpacked ${Object.keys(files)}`),
    (reason) => reason,
  );
  expect(error).toMatchObject({ name: 'EngineError', code: 'ENGINE_BAD_FILE' });
  expect(error.message).toMatch(/^the voices of "voices\.tgz" cannot be unpacked: [^\n]+ folder of voices$/);
  expect(error.message).not.toContain(top);
  // Nothing is left, and nothing got out.
  expect(await readdir(root).catch(() => [])).toEqual([]);
  expect((await readdir(top)).sort()).toEqual(
    (await readdir(join(top, 'a')).catch(() => undefined)) ? ['a', 'voices.tgz'] : ['voices.tgz'],
  );
  return error.message;
}

const file = (name: string, content = name): TarPart => ({ name, content });

describe('an archive of voices', () => {
  it('is unpacked: voice files under voices/ or at the top, and no others', async () => {
    const parts = [
      { name: 'voices/', type: '5' },
      file('voices/NATF0.pt', 'one'),
      file('./voices/NATF1.pt', 'x'.repeat(1000)),
      file('VARM0.wav', ''),
      file('voices/._NATF0.pt'),
      file('voices/README.md'),
      file('voices/deeper/NATF2.pt'),
      file('other/NATF3.pt'),
      file('voices/old.safetensors', 'y'.repeat(512)),
    ];
    expect(await unpack(tgz(parts))).toEqual({
      'NATF0.pt': 'one',
      'NATF1.pt': 'x'.repeat(1000),
      'VARM0.wav': '',
      'old.safetensors': 'y'.repeat(512),
    });
  });

  it('of GNU tar, in each of its formats, is read', async () => {
    const long = `${'long'.repeat(24)}.pt`;
    await mkdir(join(top, 'voices'));
    await writeFile(join(top, 'voices', 'a.pt'), 'a');
    await writeFile(join(top, 'voices', long), 'b');
    for (const format of ['gnu', 'pax', 'ustar']) {
      execFileSync('tar', [`--format=${format}`, '-czf', archive, '-C', top, 'voices']);
      expect(await unpack(await readFile(archive))).toEqual({ 'a.pt': 'a', [long]: 'b' });
    }
  });

  it('is unpacked once, under a name made of its content', async () => {
    await writeFile(archive, tgz([file('a.pt')]));
    const folder = await unpackVoices(archive, root);
    await writeFile(join(folder, 'mark.pt'), 'still here');
    const copy = join(top, 'copy.tgz');
    await writeFile(copy, await readFile(archive));
    expect(await unpackVoices(copy, root)).toBe(folder);
    expect(await readdir(folder)).toContain('mark.pt');
    await writeFile(archive, tgz([file('b.pt')]));
    expect(await unpackVoices(archive, root)).not.toBe(folder);
  });

  it('is unpacked by many at once without harm', async () => {
    const parts = Array.from({ length: 20 }, (_, i) => file(`voices/v${i}.pt`, String(i).repeat(5000)));
    await writeFile(archive, tgz(parts));
    const folders = await Promise.all(Array.from({ length: 8 }, () => unpackVoices(archive, root)));
    expect(new Set(folders).size).toBe(1);
    expect(await readdir(root)).toHaveLength(1);
    expect(await readdir(folders[0]!)).toHaveLength(20);
  });

  it('may use long names of GNU and pax, large-number sizes and old checksums', async () => {
    const longName = (name: string) => tarEntry({ name: '././@LongLink', type: 'L', content: `${name}\0` });
    const base256 = (header: Buffer) => {
      header.fill(0, 124, 136);
      header[124] = 0x80;
      header[135] = 3;
    };
    const parts = [
      longName('voices/gnu.pt'),
      file('voices/cut', 'gnu'),
      pax({ path: 'voices/pax é.pt', mtime: '1.5' }),
      file('voices/cut', 'pax'),
      pax({ comment: 'of no account' }, 'g'),
      { ...file('voices/big.pt', 'big'), change: base256 },
      { ...file('prefixed.pt', 'p'), prefix: 'voices' },
      { ...file('elsewhere.pt', 'e'), prefix: 'other' },
      pax({ size: '4' }),
      { ...file('voices/sized.pt', 'four'), size: 0 },
    ];
    expect(await unpack(tgz(parts))).toEqual({
      'gnu.pt': 'gnu',
      'pax é.pt': 'pax',
      'big.pt': 'big',
      'prefixed.pt': 'p',
      'sized.pt': 'four',
    });
  });
});

describe('a hostile archive is refused by name, with nothing left behind:', () => {
  const inside = file('voices/good.pt');
  it.each<[string, TarPart[], RegExp]>([
    ['a path up', [file('../evil.pt')], /"\.\.\/evil\.pt" in it leads out/],
    ['a path up in the middle', [file('voices/../../evil.pt')], /leads out/],
    ['a path up after ./', [file('./../evil.pt')], /leads out/],
    ['an absolute path', [file('/tmp/moshi-evil.pt')], /"\/tmp\/moshi-evil\.pt" in it leads out/],
    ['a path of Windows', [file('..\\evil.pt')], /leads out/],
    ['a drive of Windows', [file('C:evil.pt')], /leads out/],
    ['control characters', [file('voices/a\x1b[2J.pt')], /"voices\/a\\u\{1b\}\[2J\.pt" in it leads out/],
    ['a folder outside', [{ name: '../x/', type: '5' }], /leads out/],
    ['a symbolic link', [{ name: 'voices/a.pt', type: '2', link: '/etc/passwd' }], /"voices\/a\.pt" in it is a link/],
    ['a link for a folder', [{ name: 'voices', type: '2', link: '/tmp' }], /is a link/],
    ['a hard link', [{ name: 'voices/a.pt', type: '1', link: '/etc/passwd' }], /is a link/],
    ['a device', [{ name: 'voices/a.pt', type: '3' }], /neither a file nor a folder/],
    ['a pipe', [{ name: 'voices/a.pt', type: '6' }], /neither a file nor a folder/],
    ['a sparse file', [{ ...file('voices/a.pt'), type: 'S' }], /neither a file nor a folder/],
    ['a duplicate', [inside, file('./voices/good.pt')], /"good\.pt" is in it twice/],
    ['a duplicate at the top', [inside, file('good.pt')], /twice/],
  ])('%s', async (_, parts, message) => {
    expect(await refused(tgz([file('voices/first.pt'), ...parts]))).toMatch(message);
  });

  it('long names that lead out', async () => {
    const gnu = tarEntry({ name: '././@LongLink', type: 'L', content: '../../evil.pt\0' });
    expect(await refused(tgz([gnu, inside]))).toMatch(/"\.\.\/\.\.\/evil\.pt" in it leads out/);
    expect(await refused(tgz([pax({ path: '/tmp/moshi-evil.pt' }), inside]))).toMatch(/leads out/);
    expect(await refused(tgz([pax({ path: '../evil.pt' }, 'g'), inside]))).toMatch(/global path/);
    expect(await refused(tgz([pax({ 'GNU.sparse.major': '1' }), inside]))).toMatch(/neither/);
  });

  it('a wrong checksum, and numbers that are none', async () => {
    expect(await refused(tgz([{ ...inside, checksum: 1 }]))).toMatch(/checksum of an entry is wrong/);
    expect(await refused(tgz([{ ...inside, change: (header) => header.write('zzz', 124) }]))).toMatch(/number/);
    expect(await refused(tgz([{ ...inside, change: (header) => header.fill(0xff, 124, 136) }]))).toMatch(/negative/);
    expect(await refused(tgz([tarEntry({ name: 'x', type: 'x', content: '99 path=a\n' }), inside]))).toMatch(
      /pax record/,
    );
    const long = tarEntry({ name: 'x', type: 'L', content: 'x'.repeat(70_000) });
    expect(await refused(tgz([long, inside]))).toMatch(/name in it is too long/);
  });

  it('an end that comes too early, wherever', async () => {
    const whole = tar([file('voices/a.pt', 'a'.repeat(700)), inside]);
    for (const length of [0, 100, 512, 600, 1536, 1540, 2048, whole.length - 1024]) {
      expect(await refused(gzipSync(whole.subarray(0, length)))).toMatch(/it is cut short/);
    }
    const packed = gzipSync(whole);
    for (const length of [1, 12, packed.length >> 1, packed.length - 9, packed.length - 1]) {
      expect(await refused(packed.subarray(0, length))).toMatch(/it is cut short|no gzip file/);
    }
    expect(await refused(Buffer.from('this is only text'))).toMatch(/it is no gzip file/);
  });

  it('too many files, entries or bytes', async () => {
    const many = Array.from({ length: 257 }, (_, i) => file(`voices/${i}.pt`, ''));
    expect(await refused(tgz(many))).toMatch(/more than 256 voices/);
    expect(Object.keys(await unpack(tgz(many.slice(1))))).toHaveLength(256);
    await rm(root, { recursive: true });
    const folders = Array.from({ length: 4097 }, () => ({ name: 'voices/', type: '5' }));
    expect(await refused(tgz(folders))).toMatch(/more than 4096 entries/);
    const limits = { ...ARCHIVE_LIMITS, bytes: 1e6 };
    expect(await refused(tgz([file('voices/a.pt', '\0'.repeat(2e6))]), limits)).toMatch(/more than 1 MB/);
    // Bytes after the end count too: a bomb may hide there.
    expect(await refused(tgz([inside], 2e6), limits)).toMatch(/more than 1 MB/);
    expect(await refused(tgz([{ ...inside, size: 0o77777777777 }]))).toMatch(/cut short/);
    expect(await refused(tgz([inside]), { ...ARCHIVE_LIMITS, packedBytes: 10 })).toMatch(/it has more than/);
  });

  it('no file at all', async () => {
    await expect(unpackVoices(join(top, 'voices.tgz'), root)).rejects.toThrow(/there is no such file/);
  });

  it('is not followed through links put where it is unpacked', async () => {
    // Whoever may write there could do worse; but a link left over must not become a way out.
    await mkdir(join(top, 'outside'));
    await writeFile(archive, tgz([inside]));
    const folder = await unpackVoices(archive, root);
    await rm(folder, { recursive: true });
    await symlink(join(top, 'outside', 'nowhere'), folder);
    await unpackVoices(archive, root).catch(() => {});
    expect(await readdir(join(top, 'outside'))).toEqual([]);
  });
});

describe('random damage', () => {
  function random(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  }

  it('of the archive or its compression unpacks within bounds or is refused, and stays inside', async () => {
    const whole = tar([
      { name: 'voices/', type: '5' },
      file('voices/a.pt', 'a'.repeat(700)),
      pax({ path: 'voices/pax.pt' }),
      file('voices/cut', 'p'),
      tarEntry({ name: '././@LongLink', type: 'L', content: 'voices/gnu.pt\0' }),
      file('voices/cut', 'g'.repeat(40)),
    ]);
    const next = random(7);
    const bytes = [0, 0x20, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x35, 0x37, 0x4c, 0x78, 0x80, 0xff];
    for (let round = 0; round < 400; round++) {
      const damaged = Buffer.from(whole);
      for (let i = 1 + next(4); i > 0; i--) {
        // Mostly in headers, where it matters.
        const block = next(damaged.length / 512) * 512;
        damaged[block + next(next(2) ? 160 : 512)] = next(2) ? bytes[next(bytes.length)]! : next(256);
      }
      // Right checksums, so that the damage gets past them.
      for (let at = 0; next(3) > 0 && at < damaged.length; at += 512) {
        const header = damaged.subarray(at, at + 512);
        if (!header.includes('ustar')) continue;
        header.fill(0x20, 148, 156);
        header.write(
          `${header
            .reduce((sum, byte) => sum + byte, 0)
            .toString(8)
            .padStart(6, '0')}\0 `,
          148,
          'latin1',
        );
      }
      const cut = next(5) === 0 ? damaged.subarray(0, next(damaged.length)) : damaged;
      const packed = gzipSync(cut);
      if (next(4) === 0) packed[next(packed.length)] = next(256);
      await writeFile(archive, packed);
      await unpackVoices(archive, root).catch((error) => expect(error).toBeInstanceOf(EngineError));
    }
    expect((await readdir(top)).sort()).toEqual(['a', 'voices.tgz']);
    expect(await readdir(join(top, 'a', 'b'))).toEqual(['unpacked']);
    for (const folder of await readdir(root)) {
      expect(folder).toMatch(/^[0-9a-f]{64}$/);
      const entries = await readdir(join(root, folder), { withFileTypes: true });
      expect(entries.every((entry) => entry.isFile() && entry.name.endsWith('.pt'))).toBe(true);
    }
  });
});

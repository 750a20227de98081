import { mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { voiceLibrary } from '../src/voices';
import { PUBLISHED_VOICES } from '../src/voices/names';
import { FakeHub } from './support/fake-hub';
import { tgz } from './support/tar';

let top: string;
let folder: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'moshi-library-'));
  folder = join(top, 'voices');
  await mkdir(folder);
});
afterEach(() => rm(top, { recursive: true, force: true }));

async function fill(where: string, ...names: string[]): Promise<void> {
  await mkdir(where, { recursive: true });
  for (const name of names) await writeFile(join(where, name), name);
}

const names = async (library: ReturnType<typeof voiceLibrary>) => (await library.list()).map(({ name }) => name);

/** Names that must never become paths, or steer anything they are shown on. */
const HOSTILE = [
  '../secret',
  '../secret.pt',
  '..',
  '.',
  '/etc/passwd',
  '..\\secret.pt',
  'deeper/x',
  'a\0.pt',
  'a.pt/',
  './a.pt',
  '.hidden',
  'constructor',
  '__proto__',
  'x'.repeat(100_000),
  '\x1b[2J',
];

describe('a folder of voices', () => {
  it('is listed by name, sorted, each once, and nothing else of it', async () => {
    await fill(folder, 'b.pt', 'a.wav', 'a.pt', 'B.flac', 'c.safetensors', 'd.mp3', 'e.ogg', 'f.OPUS', 'two words.wav');
    await fill(folder, 'notes.txt', '.hidden.pt', 'no-extension', '.pt', 'bad\x1b.pt', 'x.bin');
    await fill(join(folder, 'deeper'), 'x.pt');
    await fill(join(folder, 'folder.pt'));
    expect(await voiceLibrary({ voices: folder }).list()).toEqual(
      ['B', 'a', 'b', 'c', 'd', 'e', 'f', 'two words'].map((name) => ({ name })),
    );
  });

  it('finds a voice by its name, with or without extension; prepared files go before recordings', async () => {
    await fill(folder, 'a.wav', 'a.pt', 'v1.5.mp3', 'Zoë.wav', 'n.ogg', 'n.safetensors', 'n.wav');
    const { find } = voiceLibrary({ voices: folder });
    const file = async (name: string) => basename((await find(name)).path);
    expect(await find('a')).toMatchObject({ name: 'a', path: join(folder, 'a.pt') });
    expect(await find('a.wav')).toMatchObject({ name: 'a', path: join(folder, 'a.wav') });
    expect(await file('n')).toBe('n.safetensors');
    expect(await file('n.wav')).toBe('n.wav');
    expect(await file('v1.5')).toBe('v1.5.mp3');
    expect(await file('Zoe\u0308')).toBe('Zoë.wav');
    await expect(find('A')).rejects.toThrow(/there is no voice "A"/);
    await expect(find('a.flac')).rejects.toThrow(/there is no voice "a\.flac"/);
  });

  it('is looked at anew each time, and a changed file has another identity', async () => {
    await fill(folder, 'a.pt');
    const library = voiceLibrary({ voices: folder });
    const first = await library.find('a');
    expect((await library.find('a.pt')).identity).toBe(first.identity);
    await fill(folder, 'b.pt');
    expect(await names(library)).toEqual(['a', 'b']);
    await utimes(first.path, new Date(), new Date(1e12));
    const touched = await library.find('a');
    expect(touched.identity).not.toBe(first.identity);
    await writeFile(first.path, 'longer than before');
    await utimes(first.path, new Date(), new Date(1e12));
    expect((await library.find('a')).identity).not.toBe(touched.identity);
    expect((await library.find('b')).identity).not.toBe(first.identity);
  });

  it.each(HOSTILE)('has no voice %j', async (name) => {
    await fill(top, 'secret.pt', 'secret');
    await fill(join(folder, 'deeper'), 'x.pt', 'x');
    await fill(folder, 'a.pt', '.hidden.pt');
    const error = await voiceLibrary({ voices: folder })
      .find(name)
      .catch((reason) => reason);
    expect(error).toMatchObject({ name: 'EngineError', code: 'ENGINE_BAD_OPTION' });
    expect(error.message).toMatch(/^there is no voice "[^\p{C}]*"; the voices are a$/u);
    expect(error.message.length).toBeLessThan(300);
  });

  it('is not left through links', async () => {
    await fill(top, 'secret.pt');
    await fill(folder, 'a.pt');
    await symlink(join(top, 'secret.pt'), join(folder, 'out.pt'));
    await symlink('a.pt', join(folder, 'inside.pt'));
    await symlink('nowhere.pt', join(folder, 'broken.pt'));
    await symlink(top, join(folder, 'folder.pt'));
    // A neighbour whose name begins the same is outside too.
    await fill(`${folder}-2`, 'n.pt');
    await symlink(join(`${folder}-2`, 'n.pt'), join(folder, 'neighbour.pt'));
    const library = voiceLibrary({ voices: folder });
    expect(await names(library)).toEqual(['a', 'inside']);
    expect(await readFile((await library.find('inside')).path, 'utf8')).toBe('a.pt');
    for (const name of ['out', 'out.pt', 'neighbour']) {
      await expect(library.find(name)).rejects.toMatchObject({
        code: 'ENGINE_BAD_OPTION',
        message: expect.stringMatching(/is a link that leaves its folder: put a copy/),
      });
    }
    await expect(library.find('broken')).rejects.toThrow(/there is no voice/);
    await expect(library.find('folder')).rejects.toThrow(/there is no voice/);
  });

  it('may itself be behind a link', async () => {
    await fill(folder, 'a.pt');
    await symlink(folder, join(top, 'link'));
    expect(await readFile((await voiceLibrary({ voices: join(top, 'link') }).find('a')).path, 'utf8')).toBe('a.pt');
  });

  it('shows at most 40 names and 64 characters of a wrong one', async () => {
    await fill(folder, ...Array.from({ length: 43 }, (_, i) => `v${String(i).padStart(2, '0')}.pt`));
    const { find } = voiceLibrary({ voices: folder });
    const { message } = await find('é'.repeat(65)).catch((error) => error);
    expect(message).toContain(`"${'é'.repeat(64)}…"; the voices are v00, v01, `);
    expect(message).toMatch(/v39 and 3 more$/);
    expect((await find('a"\u202e\n\x9b').catch((error) => error)).message).toContain('"a\\"\\u{202e}\\u{a}\\u{9b}"');
  });

  it('that is empty, or none at all, says how to get voices', async () => {
    for (const options of [{}, { voices: folder }]) {
      await expect(voiceLibrary(options).find('a')).rejects.toThrow(
        /there is no voice "a": this engine has no voices; give it a folder of them with --voices DIR/,
      );
      expect(await voiceLibrary(options).list()).toEqual([]);
    }
  });

  it('that is not there is refused at once; one that goes away, when it is asked', async () => {
    for (const voices of [join(top, 'nothing'), 'a\0b', '']) {
      if (voices === '') continue;
      expect(() => voiceLibrary({ voices })).toThrow(/there are no voices at ".*": give a folder of voice files/);
    }
    const library = voiceLibrary({ voices: folder });
    await rm(folder, { recursive: true });
    await expect(library.list()).rejects.toThrow(/the folder of voices "voices" cannot be read \(ENOENT\)/);
  });
});

describe("a model's own voices", () => {
  it('are those of its voices folder, else of its voices.tgz, below those of the user', async () => {
    const model = join(top, 'model');
    const cacheDir = join(top, 'cache', 'hub');
    await fill(model, 'model.safetensors');
    await writeFile(join(model, 'voices.tgz'), tgz([{ name: 'voices/T.pt', content: 'T' }]));
    const packed = voiceLibrary({ model, cacheDir });
    expect(await names(packed)).toEqual(['T']);
    const { path } = await packed.find('T.pt');
    expect(await readFile(path, 'utf8')).toBe('T');
    // Beside the hub's cache, by content.
    expect(dirname(dirname(path))).toBe(join(top, 'cache', 'moshi-voices'));

    await fill(join(model, 'voices'), 'F.pt', 'both.pt');
    await fill(folder, 'own.wav', 'both.wav');
    const library = voiceLibrary({ model, voices: folder, cacheDir });
    expect(await names(library)).toEqual(['F', 'both', 'own']);
    expect((await library.find('both')).path).toBe(join(folder, 'both.wav'));
    expect((await library.find('both.pt')).path).toBe(join(model, 'voices', 'both.pt'));
    expect((await library.find('F')).path).toBe(join(model, 'voices', 'F.pt'));
  });

  it('are none where the model has none', async () => {
    await fill(folder, 'model.safetensors');
    expect(await voiceLibrary({ model: folder, cacheDir: join(top, 'hub') }).list()).toEqual([]);
  });

  it('may be replaced by an archive of the user', async () => {
    const voices = join(top, 'mine.tgz');
    await writeFile(voices, tgz([{ name: 'M.wav', content: 'M' }]));
    const library = voiceLibrary({ voices, cacheDir: join(top, 'hub') });
    expect(await names(library)).toEqual(['M']);
    await writeFile(voices, 'damaged');
    expect(await names(library)).toEqual(['M']);
    const damaged = voiceLibrary({ voices, cacheDir: join(top, 'hub') });
    await expect(damaged.find('M')).rejects.toMatchObject({
      code: 'ENGINE_BAD_FILE',
      message: expect.stringContaining('"mine.tgz" cannot be unpacked'),
    });
    // Repaired, it works without a new library.
    await rename(voices, `${voices}.old`);
    await writeFile(voices, tgz([{ name: 'M.wav', content: 'M' }]));
    expect(await names(damaged)).toEqual(['M']);
  });
});

describe('voices on the hub', () => {
  let hub: FakeHub;
  beforeEach(async () => {
    hub = await FakeHub.start();
  });
  afterEach(() => hub.stop());
  const options = () => ({ endpoint: hub.endpoint, token: false as const, cacheDir: join(top, 'hub'), retries: 0 });
  const archive = (...files: string[]) => tgz(files.map((name) => ({ name: `voices/${name}`, content: name })));

  it('of the published model are known by name, and fetched when the first is asked for', async () => {
    hub.add('nvidia/personaplex-7b-v1', { 'voices.tgz': archive(...PUBLISHED_VOICES.map((name) => `${name}.pt`)) });
    const library = voiceLibrary({ model: 'nvidia/personaplex-7b-v1', ...options() });
    expect(await names(library)).toEqual([...PUBLISHED_VOICES]);
    expect(PUBLISHED_VOICES).toHaveLength(18);
    await expect(library.find('NATF9')).rejects.toThrow(/there is no voice "NATF9"; the voices are NATF0, .*, VARM4$/);
    expect(hub.requests).toEqual([]);
    const found = await Promise.all(['NATF0', 'VARM4.pt', 'NATF0.pt'].map(library.find));
    expect(await Promise.all(found.map(({ path }) => readFile(path, 'utf8')))).toEqual([
      'NATF0.pt',
      'VARM4.pt',
      'NATF0.pt',
    ]);
    expect(hub.requests.filter(({ method }) => method === 'GET')).toHaveLength(1);
    expect(await names(library)).toEqual([...PUBLISHED_VOICES]);
  });

  it('of another model are fetched to be listed', async () => {
    hub.add('someone/persona', { 'voices.tgz': archive('Q.pt') });
    hub.add('someone/without', { 'config.json': '{}' });
    expect(await names(voiceLibrary({ model: 'someone/persona', ...options() }))).toEqual(['Q']);
    expect(await names(voiceLibrary({ model: 'someone/without', ...options() }))).toEqual([]);
  });

  it('that cannot be reached are asked for again the next time; those of the user work meanwhile', async () => {
    await fill(folder, 'own.pt');
    const library = voiceLibrary({ model: 'nvidia/personaplex-7b-v1', voices: folder, ...options() });
    await expect(library.find('NATF0')).rejects.toMatchObject({ name: 'HubError' });
    expect((await library.find('own')).name).toBe('own');
    expect(await names(library)).toEqual([...PUBLISHED_VOICES, 'own']);
    hub.add('nvidia/personaplex-7b-v1', { 'voices.tgz': archive('NATF0.pt') });
    expect((await library.find('NATF0')).name).toBe('NATF0');
  });
});

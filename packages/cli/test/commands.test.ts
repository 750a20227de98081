import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ExitCode, readCodes, readWav, version, writeCodes, writeWav } from '../src/index';
import { SOUND_SYSTEMS } from '../src/sound/tools';
import { fakeModels, meanCodec, moshi } from './support/command';

let folder: string;
const at = (name: string) => join(folder, name);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-cli-'));
  await writeFile(at('in.wav'), writeWav(new Float32Array(24_000).fill(0.25)));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const COMMANDS = ['serve', 'chat', 'converse', 'voice', 'encode', 'decode', 'expand', 'quantize', 'doctor', 'eval'];

describe('help', () => {
  it('lists the commands and the exit codes', async () => {
    const { status, stdout, stderr } = await moshi(['--help']);
    expect(status).toBe(0);
    expect(stderr).toBe('');
    for (const command of COMMANDS) expect(stdout).toContain(`  ${command}`);
    for (const code of Object.values(ExitCode)) expect(stdout).toMatch(new RegExp(`^  ${code} `, 'm'));
  });

  it.each(COMMANDS)('of %s has an example', async (command) => {
    const { status, stdout } = await moshi([command, '--help']);
    expect(status).toBe(0);
    expect(stdout).toContain(`$ moshi ${command}`);
  });

  it('of chat has its keys, how a device is chosen, and its exit codes, in lines of a terminal', async () => {
    const { stdout } = await moshi(['chat', '--help']);
    for (const key of ['m', 's', 'space', 'q, Ctrl\\+C']) expect(stdout).toMatch(new RegExp(`^  ${key} {2,}`, 'm'));
    for (const system of SOUND_SYSTEMS) expect(stdout).toMatch(new RegExp(`sound systems.*${system}`));
    expect(stdout).toMatch(/SYSTEM:NAME.*alsa:plughw:1,0/);
    for (const code of [0, 1, 2, 3, 4, 130]) expect(stdout).toMatch(new RegExp(`[ ,]${code} [a-z]`));
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('is shown, with status 2, when no command is given', async () => {
    const { status, stdout, stderr } = await moshi([]);
    expect(status).toBe(2);
    expect(stdout + stderr).toContain('Usage: moshi');
  });

  it('tells the version', async () => {
    expect(await moshi(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
});

describe('bad usage', () => {
  it.each([
    [['sreve'], /unknown command 'sreve'.*Did you mean serve/],
    [['serve', '--prot', '1'], /unknown option '--prot'.*See: moshi serve --help/],
    [['serve', '--port', '70000'], /0 to 65535/],
    [['serve', '--port', 'http'], /whole number/],
    [['serve', '--slots', '0'], /1 to 256/],
    [['serve', '--engine', 'gpu'], /native, loopback/],
    [['serve', '--engine', 'loopback', '--model', 'x'], /leave out --model/],
    [['serve', '--engine', 'loopback', '--voices', 'x'], /leave out --model, --voices, --lora/],
    [['serve', '--lora-scale', 'much'], /number from 0 to 100/],
    [['serve', 'extra'], /too many arguments/],
    [['converse', 'in.wav'], /missing required argument 'out\.wav'/],
    [['converse', 'a', 'b', '--url', 'ws://x', '--model', 'm'], /leave out --model/],
    [['converse', 'a', 'b', '--url', 'ws://x', '--expand'], /leave out --model.*--expand/],
    [['converse', 'a', 'b', '--engine', 'loopback', '--say', 'hi'], /no model: leave out --say/],
    [['converse', 'a', 'b', '--say', ' '], /--say needs words/],
    [['eval'], /required option '--audio <place>'/],
    [['eval', '--audio', 'a', '--weights', 'q5'], /auto, stored, f16, bf16, q8, mixed, q4/],
    [['eval', '--audio', 'a', '--min-agreement', '98'], /number from 0 to 1/],
    [['eval', '--audio', 'a', '--frames', '0'], /1 to 5000/],
    [['quantize', 'a', 'b.gguf'], /required option '--type <type>'/],
    [['quantize', 'a', 'b.gguf', '--type', 'q5'], /q8, mixed, q4, q8_0/],
    [['expand', 'a'], /missing required argument 'out'/],
    [['converse', 'a', 'b', '--tail', '-1'], /0 to 3600/],
    [['converse', 'a', 'b', '--tail', '1e9'], /0 to 3600/],
    [['converse', 'a', 'b', '--seed', '1.5'], /whole number/],
    [['converse', 'a', 'b', '--dialect', 'klingon'], /Allowed choices/],
    [['encode', 'a', 'b', '--codebooks', '0'], /1 to 256/],
  ])('%j is one line on stderr and status 2', async (argv, message) => {
    const { status, stdout, stderr } = await moshi(argv);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^moshi: .+\n$/);
    expect(stderr).toMatch(message);
  });

  it('is found before the work: outputs that cannot be', async () => {
    for (const command of [
      ['converse', at('in.wav')],
      ['encode', at('in.wav')],
    ]) {
      expect(await moshi([...command, at('no/out')])).toMatchObject({
        status: 2,
        stderr: expect.stringContaining('make it first'),
      });
      expect(await moshi([...command, folder])).toMatchObject({ status: 2 });
    }
    const text = await moshi(['converse', at('in.wav'), at('out.wav'), '--text', at('no/out.json')]);
    expect(text).toMatchObject({ status: 2, stderr: expect.stringContaining('out.json') });
    expect(await moshi(['converse', at('in.wav'), at('o.wav'), '--url', 'ftp://x'])).toMatchObject({ status: 2 });
  });
});

describe('bad input', () => {
  it.each(['converse', 'encode', 'decode'])('of %s is status 3 and names the file', async (command) => {
    await writeFile(at('text.wav'), 'this is only text');
    await writeFile(at('silent.wav'), writeWav(new Float32Array(0)));
    await writeFile(at('empty.codes'), writeCodes({ codebooks: 2, frames: 0, codes: new Int32Array(0) }));
    for (const name of ['missing.wav', 'text.wav', command === 'decode' ? 'empty.codes' : 'silent.wav', '.']) {
      const { status, stdout, stderr } = await moshi([command, at(name), at('out')]);
      expect(status).toBe(3);
      expect(stdout).toBe('');
      expect(stderr).toMatch(/^moshi: .+\n$/);
      expect(stderr).toContain(at(name));
    }
  });

  it('of codes with more codebooks than the model has is status 3', async () => {
    await writeFile(at('in.codes'), writeCodes({ codebooks: 3, frames: 1, codes: new Int32Array(3) }));
    const { status, stderr } = await moshi(['decode', at('in.codes'), at('out.wav')]);
    expect(status).toBe(3);
    expect(stderr).toContain('3 codebooks, the model 2');
  });
});

describe('no connection', () => {
  it.each(['ws://127.0.0.1:9', 'ws://no-such-host.invalid:8998'])('to %s is status 4', async (url) => {
    const { status, stderr } = await moshi(['converse', at('in.wav'), at('out.wav'), '--url', url]);
    expect(status).toBe(4);
    expect(stderr).toMatch(/^moshi: cannot reach .+\n$/);
  });
});

describe('a model that does not load', () => {
  const fail = async () => {
    throw new Error('there is no folder nowhere: give the path\nof a folder');
  };
  const models = async () => fakeModels({ loadEngine: fail, loadMimi: fail });

  it.each([
    ['serve', '--port', '0'],
    ['converse', 'IN', 'OUT'],
    ['encode', 'IN', 'OUT'],
  ])('is status 5 for %s, in the words of the engine', async (...argv) => {
    const paths = argv.map((word) => (word === 'IN' ? at('in.wav') : word === 'OUT' ? at('out') : word));
    const { status, stdout, stderr } = await moshi([...paths, '--model', 'nowhere'], { models });
    expect({ status, stdout, stderr }).toEqual({
      status: 5,
      stdout: '',
      stderr: 'moshi: there is no folder nowhere: give the path of a folder\n',
    });
  });

  it('shows its stack only for debugging', async () => {
    const { stderr } = await moshi(['encode', at('in.wav'), at('out')], { models, debug: true });
    expect(stderr).toContain('caused by Error: there is no folder');
    expect(stderr).toMatch(/\n\s+at /);
  });

  it('hands the choices and the progress of a download on', async () => {
    let asked: unknown;
    const lines: string[] = [];
    const stderr = { isTTY: true, columns: 100, write: (text: string) => lines.push(text) };
    const loading = async () =>
      fakeModels({
        loadMimi: async ({ signal, onProgress, ...rest }) => {
          asked = rest;
          expect(signal).toBeInstanceOf(AbortSignal);
          onProgress?.({ file: 'model.safetensors', received: 5, total: 10, bytesPerSecond: 2e6 });
          return meanCodec();
        },
      });
    const argv = ['encode', at('in.wav'), at('out'), '--model', 'a/b', '--threads', '3'];
    expect((await moshi(argv, { models: loading, stderr })).status).toBe(0);
    expect(asked).toEqual({ model: 'a/b', threads: 3 });
    expect(lines.join('')).toMatch(/fetching model\.safetensors █+░+ {2}50% 2\.0 MB\/s/);
  });

  it('ends with 130 when interrupted while it loads, and is closed when it comes', async () => {
    const interrupt = new AbortController();
    const codec = meanCodec();
    let arrive = () => {};
    const loading = async () =>
      fakeModels({
        loadMimi: () => {
          setTimeout(() => interrupt.abort(), 10);
          return new Promise((resolve) => {
            arrive = () => resolve(codec);
          });
        },
      });
    const { status } = await moshi(['encode', at('in.wav'), at('out')], { models: loading, signal: interrupt.signal });
    expect(status).toBe(130);
    arrive();
    await expect.poll(() => codec.closed).toBe(true);
  });
});

describe('encode and decode', () => {
  it('go there and back', async () => {
    const encoded = await moshi(['encode', at('in.wav'), at('x.codes'), '--json']);
    expect(encoded.status).toBe(0);
    expect(JSON.parse(encoded.stdout)).toMatchObject({ codebooks: 2, frames: 13, seconds: 1, output: at('x.codes') });
    const file = readCodes(await readFile(at('x.codes')));
    expect([...file.codes.subarray(0, 13)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const decoded = await moshi(['decode', at('x.codes'), at('out.wav')]);
    expect(decoded).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/out\.wav: 1\.04 s, 13 frames of 2 codes/),
    });
    const { pcm, sampleRate } = readWav(await readFile(at('out.wav')));
    expect(sampleRate).toBe(24_000);
    expect(pcm.every((sample) => Math.abs(sample - 0.25) < 0.001)).toBe(true);
  });

  it('take fewer codebooks, but not more than there are', async () => {
    expect((await moshi(['encode', at('in.wav'), at('x.codes'), '--codebooks', '1'])).status).toBe(0);
    expect(readCodes(await readFile(at('x.codes'))).codebooks).toBe(1);
    const { status, stderr } = await moshi(['encode', at('in.wav'), at('x.codes'), '--codebooks', '9']);
    expect(status).toBe(2);
    expect(stderr).toContain('more than the model has: 2');
  });

  it('fail with 1 when the codec fails, and close it', async () => {
    const codec = meanCodec();
    codec.encode = async () => {
      throw new Error('out of luck');
    };
    const models = async () => fakeModels({ loadMimi: async () => codec });
    const { status, stderr } = await moshi(['encode', at('in.wav'), at('x.codes')], { models });
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'moshi: out of luck\n' });
    expect(codec.closed).toBe(true);
  });
});

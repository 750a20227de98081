import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '@moshi/client';
import { loopbackEngine } from '@moshi/server';
import { describe, expect, it } from 'vitest';
import { run } from '../src/index';
import { fakeModels, moshi } from './support/command';

/** Starts `moshi serve` and waits for its first line, which holds the address. */
async function serving(argv: string[], models = async () => fakeModels()) {
  const interrupt = new AbortController();
  let stderr = '';
  let status: Promise<number> = Promise.resolve(-1);
  const line = await new Promise<string>((resolve, reject) => {
    status = run(['serve', '--port', '0', ...argv], {
      stdout: { write: resolve },
      stderr: {
        write: (text) => {
          stderr += text;
        },
      },
      signal: interrupt.signal,
      models,
      debug: false,
    });
    status.then((code) => reject(new Error(`ended with ${code}: ${stderr}`)));
  });
  return { line, url: line.split(' ')[0]!, interrupt, status, stderr: () => stderr };
}

describe('moshi serve', () => {
  it('serves until it is interrupted, then says goodbye and frees the port', async () => {
    const { line, url, interrupt, status, stderr } = await serving(['--engine', 'loopback', '--slots', '2']);
    expect(line).toMatch(/^http:\/\/127\.0\.0\.1:\d+ {2}model loopback, 2 at a time\. Ctrl\+C stops it\.\n$/);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const session = await connect(url, { reconnect: false });
    const closed = new Promise<{ code: number }>((resolve) => session.on('closed', resolve));
    interrupt.abort();
    expect(await status).toBe(0);
    expect((await closed).code).toBe(1001);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    expect(stderr()).toMatch(/^\d{4}-\S+ info listening url=http/);
    expect(stderr()).toContain('client connected');
  });

  it('loads the model it is given, says when it is untrained, and closes it at the end', async () => {
    let asked: object | undefined;
    let closed = 0;
    const models = async () =>
      fakeModels({
        loadEngine: async (options) => {
          asked = options;
          const engine = loopbackEngine({ slots: 3 });
          const info = { ...engine.info, model: 'embedded', trained: false };
          return { info, open: (o) => engine.open(o), close: async () => void closed++ };
        },
      });
    const { line, interrupt, status, stderr } = await serving(['--slots', '3', '--threads', '2', '--quiet'], models);
    expect(asked).toMatchObject({ slots: 3, threads: 2 });
    expect(line).toContain('model embedded, 3 at a time. It is untrained and babbles: give --model');
    interrupt.abort();
    expect(await status).toBe(0);
    expect(closed).toBe(1);
    expect(stderr()).toBe('');
  });

  it('hands on what is to become of the model: voices, an adapter, the architecture', async () => {
    let asked: object | undefined;
    const models = async () =>
      fakeModels({
        loadEngine: async (options) => {
          asked = options;
          return loopbackEngine();
        },
      });
    const own = ['--voices', 'v', '--lora', 'l.safetensors', '--lora-scale', '1.5', '--expand'];
    const { interrupt, status } = await serving(['--model', 'a/b', '--quiet', ...own], models);
    expect(asked).toMatchObject({ model: 'a/b', voices: 'v', lora: 'l.safetensors', loraScale: 1.5, expand: true });
    interrupt.abort();
    expect(await status).toBe(0);
  });

  it.each<[string[], object]>([
    [['--gpu', 'auto'], { gpu: 'auto' }],
    [['--gpu', 'off'], { gpu: false }],
    [['--gpu', '1'], { gpu: 1 }],
    [['--gpu', '0,1', '--context', '1500', '--reserve', '1000'], { gpu: [0, 1], context: 1500, reservedBytes: 1e9 }],
  ])('hands on where it is to run: %j', async (flags, expected) => {
    let asked: object | undefined;
    const models = async () =>
      fakeModels({
        loadEngine: async (options) => {
          asked = options;
          return loopbackEngine();
        },
      });
    const { interrupt, status } = await serving(['--model', 'a/b', '--quiet', ...flags], models);
    expect(asked).toEqual(expect.objectContaining(expected));
    interrupt.abort();
    expect(await status).toBe(0);
  });

  it.each(['on', '0,', '0;1', '-1', ''])('refuses --gpu %j', async (gpu) => {
    const { status, stderr } = await moshi(['serve', '--gpu', gpu]);
    expect(status).toBe(2);
    expect(stderr).toContain('It must be auto, off, or numbers of GPUs');
  });

  it('tells where the model runs and what its engine has to say, which no client hears', async () => {
    const models = async () =>
      fakeModels({
        loadEngine: async () => {
          const engine = loopbackEngine({ slots: 7 });
          const notes = ['on cuda:1 a frame of 5 sessions takes 90 of its 80 ms'];
          const info = { ...engine.info, model: 'a/b', notes, details: { device: 'cuda:0, cuda:1' }, devices: ['own'] };
          return { info, open: (o) => engine.open(o), close: () => engine.close() };
        },
      });
    const { line, url, interrupt, status, stderr } = await serving(['--quiet'], models);
    expect(line).toMatch(/ {2}model a\/b on cuda:0, cuda:1, 7 at a time\. Ctrl/);
    expect(stderr()).toBe('moshi: on cuda:1 a frame of 5 sessions takes 90 of its 80 ms\n');
    const session = await connect(url);
    const told = session.metadata;
    expect(told).toMatchObject({ slots: 7, details: { device: 'cuda:0, cuda:1' } });
    expect(told).not.toHaveProperty('notes');
    expect(told).not.toHaveProperty('devices');
    interrupt.abort();
    expect(await status).toBe(0);
  });

  it('ends with 2 when the engine refuses an option', async () => {
    const loadEngine = async () => {
      throw Object.assign(new Error('there are no voices at "v"'), { code: 'ENGINE_BAD_OPTION' });
    };
    const refused = await moshi(['serve', '--voices', 'v'], { models: async () => fakeModels({ loadEngine }) });
    expect(refused).toEqual({ status: 2, stdout: '', stderr: 'moshi: there are no voices at "v"\n' });
  });

  it('does not draw over its log when the model fetches something later', async () => {
    let fetched = () => {};
    const models = async () =>
      fakeModels({
        loadEngine: async ({ onProgress }) => {
          fetched = () => onProgress?.({ file: 'voices.tgz', received: 1, total: 2 });
          return loopbackEngine();
        },
      });
    const lines: string[] = [];
    const interrupt = new AbortController();
    const status = run(['serve', '--port', '0', '--quiet'], {
      ...{ models, signal: interrupt.signal, debug: false },
      stdout: {
        write: () => {
          fetched();
          interrupt.abort();
        },
      },
      stderr: { isTTY: true, columns: 80, write: (text: string) => lines.push(text) },
    });
    expect(await status).toBe(0);
    expect(lines).toEqual([]);
  });

  it('serves a page of yours', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-cli-'));
    await writeFile(join(folder, 'index.html'), '<p>mine</p>');
    const { url, interrupt, status } = await serving(['--engine', 'loopback', '--static', folder, '--quiet']);
    expect(await (await fetch(url)).text()).toBe('<p>mine</p>');
    interrupt.abort();
    await status;
    await rm(folder, { recursive: true });
  });

  it('serves no page at all', async () => {
    const { url, interrupt, status } = await serving(['--engine', 'loopback', '--no-page', '--quiet']);
    expect(await (await fetch(url)).text()).toContain('A speech server');
    expect((await fetch(`${url}/test-voice`)).status).toBe(404);
    interrupt.abort();
    await status;
  });

  it('ends with 1 when the port is taken, with 2 when there is no certificate', async () => {
    const taken = createNetServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    const busy = await moshi(['serve', '--engine', 'loopback', '--port', String(port)]);
    taken.close();
    expect(busy).toMatchObject({ status: 1, stderr: expect.stringMatching(/^moshi: port \d+ .* is in use.*\n$/) });
    const bare = await moshi(['serve', '--engine', 'loopback', '--port', '0', '--ssl', '/nonexistent']);
    expect(bare).toMatchObject({ status: 2, stderr: expect.stringMatching(/^moshi: TLS needs .*openssl.*\n$/) });
  });
});

describe('signals', () => {
  it('of the process end a command, whose listeners are gone afterwards', async () => {
    const before = process.listenerCount('SIGINT');
    let stdout = '';
    const status = run(['serve', '--engine', 'loopback', '--port', '0', '--quiet'], {
      stdout: {
        write: (text) => {
          stdout += text;
          // The real signal would end the test runner as well.
          process.listeners('SIGINT').at(-1)!('SIGINT');
        },
      },
      stderr: { write: () => {} },
    });
    expect(await status).toBe(0);
    expect(stdout).toContain('http://127.0.0.1');
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});

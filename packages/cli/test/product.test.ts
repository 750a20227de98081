import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readWav } from '../src/index';

// What a user has: the built command and packages, in processes of their own. `npm test` builds them first.
const run = promisify(execFile);
const root = new URL('../../../', import.meta.url).pathname;
const moshi = join(root, 'packages/cli/bin/moshi.js');
const speech = join(root, 'examples/audio/story-16k.wav');

function command(...args: string[]) {
  return run(process.execPath, [moshi, ...args]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

/** Starts `moshi serve` and resolves with its address once it says so. */
function serve(...args: string[]): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [moshi, 'serve', '--port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Promise((resolve, reject) => {
    let text = '';
    const read = (data: Buffer) => {
      text += data;
      const address = /http:\/\/127\.0\.0\.1:(\d+)/.exec(text);
      if (address) resolve({ child, url: `ws://127.0.0.1:${address[1]}` });
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.on('exit', (code) => reject(new Error(`serve ended with ${code}: ${text}`)));
  });
}

function stopped(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  return new Promise((resolve) => {
    child.removeAllListeners('exit');
    child.on('exit', (code) => resolve(code));
    child.kill(signal);
  });
}

describe.skipIf(!existsSync(join(root, 'packages/cli/dist/moshi.js')))('the built product', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moshi-product-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('explains itself', async () => {
    for (const name of ['serve', 'converse', 'voice', 'encode', 'decode', 'expand', 'quantize', 'doctor', 'eval']) {
      expect((await command('--help')).stdout).toContain(name);
      expect((await command(name, '--help')).stdout).toContain('Usage');
    }
    expect((await command('nonsense')).code).toBe(2);
    expect((await command('converse', join(folder, 'nothing.wav'), join(folder, 'out.wav'))).code).toBe(3);
    expect((await command('serve', '--port', '0', '--model', join(folder, 'nothing'))).code).toBe(5);
  });

  it('holds the same conversation through a server process and in one process', async () => {
    const { child, url } = await serve();
    const far = join(folder, 'far.wav');
    const near = join(folder, 'near.wav');
    const text = join(folder, 'text.json');
    const remote = await command('converse', speech, far, '--url', url, '--seed', '5', '--text', text, '--json');
    expect(remote).toMatchObject({ code: 0 });
    expect(JSON.parse(remote.stdout)).toMatchObject({ trained: false, seed: 5 });
    expect((await command('converse', speech, near, '--seed', '5')).code).toBe(0);
    expect(await readFile(far)).toEqual(await readFile(near));
    const transcript = JSON.parse(await readFile(text, 'utf8'));
    expect(transcript.words.length).toBeGreaterThan(3);
    const { pcm, sampleRate } = readWav(await readFile(far));
    const input = readWav(await readFile(speech));
    expect(sampleRate).toBe(24000);
    expect(pcm.length / 24000).toBeCloseTo(input.pcm.length / input.sampleRate, 2);
    expect(pcm.some((v) => Math.abs(v) > 0.01)).toBe(true);
    expect(await stopped(child, 'SIGTERM')).toBe(0);
  });

  it('outlives the reader of its log', async () => {
    const { child, url } = await serve();
    child.stdout?.destroy();
    child.stderr?.destroy();
    for (const name of ['first.wav', 'second.wav']) {
      expect((await command('converse', speech, join(folder, name), '--url', url)).code).toBe(0);
    }
    await stopped(child, 'SIGTERM');
  });

  it('gives the slot of a killed client to the next', async () => {
    const { child, url } = await serve();
    const first = spawn(
      process.execPath,
      [moshi, 'converse', speech, join(folder, 'a.wav'), '--url', url, '--tail', '3600'],
      {
        stdio: 'ignore',
      },
    );
    await fetch(`${url.replace('ws', 'http')}/readyz`);
    for (let live = 0; live === 0; ) live = (await (await fetch(`${url.replace('ws', 'http')}/readyz`)).json()).live;
    await stopped(first, 'SIGKILL');
    expect((await command('converse', speech, join(folder, 'b.wav'), '--url', url)).code).toBe(0);
    await stopped(child, 'SIGINT');
  });

  it('turns speech into codes and back', async () => {
    const codes = join(folder, 'speech.codes');
    expect((await command('encode', speech, codes)).code).toBe(0);
    expect((await command('decode', codes, join(folder, 'again.wav'))).code).toBe(0);
    expect((await command('decode', speech, join(folder, 'no.wav'))).code).toBe(3);
    expect(JSON.parse((await command('doctor', '--json')).stdout)).toMatchObject({
      machine: { cpu: { threads: expect.any(Number) } },
    });
  });

  it('measures what fewer bits cost', async () => {
    const four = ['eval', '--audio', speech, '--weights', 'q4', '--frames', '60'];
    const { code, stdout } = await command(...four, '--json');
    expect(code).toBe(0);
    const { agreement, frames } = JSON.parse(stdout);
    expect(frames).toBeGreaterThan(50);
    expect(agreement.audio).toBeLessThan(1);
    const missed = await command(...four, '--min-agreement', '1');
    expect(missed).toMatchObject({ code: 1, stderr: expect.stringContaining('use weights of more bits') });
    expect(missed.stdout).toContain('embedded: q4 against stored');
    const same = ['eval', '--audio', speech, '--weights', 'bf16', '--frames', '60', '--min-agreement', '1'];
    expect(await command(...same)).toMatchObject({ code: 0, stderr: '' });
  });

  it('turns a Moshi model into a PersonaPlex one that speaks with a voice made of a recording', async () => {
    const { defaultModel } = await import('@moshi/engine-cuda');
    const model = join(folder, 'expanded');
    expect(await command('expand', await defaultModel(), model)).toMatchObject({ code: 0 });
    expect((await command('expand', await defaultModel(), model)).code).toBe(2);
    await mkdir(join(model, 'voices'));
    const voice = join(model, 'voices', 'reader.safetensors');
    expect(await command('voice', 'make', speech, voice, '--model', model)).toMatchObject({ code: 0 });
    expect(await command('voice', 'list', '--model', model)).toMatchObject({ code: 0, stdout: 'reader\n' });
    const spoken = ['--voice', 'reader', '--prompt', 'You are kind.', '--say', 'the cat is here', '--say-only'];
    const said = await command('converse', speech, join(folder, 'said.wav'), '--model', model, '--json', ...spoken);
    expect(said).toMatchObject({ code: 0 });
    expect(JSON.parse(said.stdout)).toMatchObject({ text: 'the cat is here', said: [{ completed: true }] });
    const wrong = await command('converse', speech, join(folder, 'no.wav'), '--model', model, '--voice', '../reader');
    expect(wrong).toMatchObject({ code: 4, stderr: expect.stringContaining('The voices are reader') });
  });

  it('quantizes a model into a file that it then speaks with', async () => {
    const { defaultModel } = await import('@moshi/engine-cuda');
    const model = join(folder, 'small');
    await mkdir(model);
    const source = await defaultModel();
    for (const name of ['config.json', 'mimi.safetensors', 'mimi_config.json', 'tokenizer.model'])
      await copyFile(join(source, name), join(model, name));
    const config = JSON.parse(await readFile(join(model, 'config.json'), 'utf8'));
    await writeFile(join(model, 'config.json'), JSON.stringify({ ...config, moshi_name: 'small.gguf' }));
    const made = await command('quantize', source, join(model, 'small.gguf'), '--type', 'q4', '--json');
    expect(made).toMatchObject({ code: 0 });
    expect(JSON.parse(made.stdout).bytes).toBeLessThan(10_000_000);
    expect(await command('quantize', model, join(model, 'small.gguf'), '--type', 'q8')).toMatchObject({ code: 2 });
    const out = join(folder, 'small.wav');
    expect(await command('converse', speech, out, '--model', model, '--weights', 'stored')).toMatchObject({ code: 0 });
  });

  it('is imported as ES module and required as CommonJS', async () => {
    const talk = `
      const engine = await engineModule.loadEngine();
      const server = await serverModule.createServer({ engine, port: 0 });
      const session = await clientModule.connect(server.url);
      const heard = new Promise((resolve) => session.on('audio', ({ pcm }) => resolve(pcm.length)));
      for (let i = 0; i < 4; i++) session.sendAudio(new Float32Array(1920));
      console.log(await heard, protocolModule.SAMPLE_RATE);
      await session.close(); await server.close(); await engine.close();`;
    const names = ['engine-cuda', 'server', 'client', 'protocol'];
    const esm = names.map((name) => `import * as ${name.split('-')[0]}Module from '@moshi/${name}';`).join('\n');
    const cjs = names.map((name) => `const ${name.split('-')[0]}Module = require('@moshi/${name}');`).join('\n');
    // Beside the packages, so that Node finds them as it would in a user's project.
    const script = join(root, 'packages', 'cli', 'dist', 'product-test');
    await writeFile(`${script}.mjs`, `${esm}\n${talk}`);
    await writeFile(`${script}.cjs`, `${cjs}\n(async () => {${talk}})();`);
    for (const file of [`${script}.mjs`, `${script}.cjs`]) {
      expect((await run(process.execPath, [file])).stdout).toMatch(/^\d+ 24000\n$/);
      await rm(file);
    }
  });
});

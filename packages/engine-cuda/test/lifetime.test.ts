import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { defaultModel, loadEngine, loadMimi } from '../src';
import { speech } from './support/audio';

const run = promisify(execFile);
const addonPath = new URL('../native/build/moshi.node', import.meta.url).pathname;

/** A script in a process of its own, with `addon`, the embedded model's `files` and `sleep` at hand. */
async function script(body: string): Promise<string> {
  const folder = await defaultModel();
  const files = {
    config: `${folder}/config.json`,
    lm: `${folder}/model.safetensors`,
    mimi: `${folder}/mimi.safetensors`,
    mimiConfig: `${folder}/mimi_config.json`,
    tokenizer: `${folder}/tokenizer.model`,
  };
  const head = `const addon = require(${JSON.stringify(addonPath)}); const files = ${JSON.stringify(files)};
    const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)); const { Worker } = require('worker_threads');`;
  const { stdout } = await run(process.execPath, [
    '-e',
    `${head} const head = ${JSON.stringify(head)}; (async () => { ${body} })();`,
  ]);
  return stdout.trim();
}

describe('the addon', () => {
  it('survives workers that are terminated in the middle of a conversation', async () => {
    const inside = `addon.loadEngine(files, { threads: 2, slots: 4, isa: '' }).then((engine) => {
      for (let i = 0; i < 4; i++) engine.open({}, () => {}).push(new Float32Array(1920 * 300));
      require('worker_threads').parentPort.postMessage(1);
    });`;
    const body = `for (let i = 0; i < 15; i++) {
      const worker = new Worker(head + ${JSON.stringify(inside)}, { eval: true });
      await new Promise((resolve) => worker.once('message', resolve));
      await sleep(i * 4);
      await worker.terminate();
    }
    console.log('alive');`;
    expect(await script(body)).toBe('alive');
  }, 60_000);

  it('survives workers that are terminated while a model loads', async () => {
    const inside = `addon.loadEngine(files, { threads: 1, slots: 1, isa: '' }).then(() => {});
      addon.loadMimi(files.mimi, files.mimiConfig, { threads: 1, isa: '' }).then(() => {}); setInterval(() => {}, 1000);`;
    const body = `for (let i = 0; i < 15; i++) {
      const worker = new Worker(head + ${JSON.stringify(inside)}, { eval: true });
      await sleep(15 + i * 3);
      await worker.terminate();
    }
    console.log('alive');`;
    expect(await script(body)).toBe('alive');
  }, 60_000);

  it('refuses other arrays than it reads', async () => {
    const mimi = await loadMimi();
    const bytes = new Uint8Array(1920 * 3000);
    await expect(mimi.encode(bytes as unknown as Float32Array)).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    await expect(mimi.decode(bytes as unknown as Int32Array, 8)).rejects.toMatchObject({ code: 'ENGINE_BAD_OPTION' });
    const addon = createRequire(import.meta.url)(addonPath);
    const { tokenizer } = { tokenizer: addon.loadTokenizer(join(await defaultModel(), 'tokenizer.model')) };
    expect(() => tokenizer.decode(new Float32Array(4))).toThrow(/Int32Array/);
    expect(() => new tokenizer.constructor().encode('a')).toThrow(/no tokenizer/);
    mimi.close();
  });
});

describe('a session', () => {
  it('leaves the errors of its listeners to the program', async () => {
    const engine = await loadEngine();
    const session = await engine.open();
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const caught = new Promise<Error>((resolve) => process.once('uncaughtException', resolve));
    session.once('frame', () => {
      throw new Error('mine');
    });
    session.push(speech(1));
    expect((await caught).message).toBe('mine');
    for (const listener of others) process.on('uncaughtException', listener);
    await engine.close();
  });

  it('hears that its reset came too late', async () => {
    const engine = await loadEngine();
    const session = await engine.open();
    const reset = session.reset();
    const closing = session.close();
    await Promise.all([closing, reset.catch((error) => expect(error).toMatchObject({ code: 'ENGINE_CLOSED' }))]);
    await engine.close();
  });
});

describe('a hostile model', () => {
  const altered = async (change: (config: Record<string, unknown>) => void): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-hostile-'));
    await cp(await defaultModel(), folder, { recursive: true });
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    change(config);
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    return folder;
  };

  it.each<[string, (config: Record<string, unknown>) => void, RegExp]>([
    [
      'a persona without the codebooks for it',
      (c) => Object.assign(c, { model_type: 'personaplex', n_q: 15, dep_q: 7, delays: Array(16).fill(0) }),
      /n_q is odd/,
    ],
    ['delays of days', (c) => Object.assign(c, { delays: Array(17).fill(1_000_000) }), /delay/],
  ])('is refused: %s', async (_, change, message) => {
    const model = await altered(change);
    await expect(loadEngine({ model })).rejects.toThrow(message);
    await rm(model, { recursive: true });
  });

  it('whose sound is no number ends its own session with an error', async () => {
    const model = await altered(() => {});
    const weights = join(model, 'mimi.safetensors');
    const bytes = await readFile(weights);
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
    const [begin] = header['decoder.model.0.conv.conv.bias'].data_offsets;
    bytes.writeFloatLE(Number.NaN, 8 + Number(bytes.readBigUInt64LE(0)) + begin);
    await writeFile(weights, bytes);
    const engine = await loadEngine({ model });
    const session = await engine.open();
    const error = new Promise<Error>((resolve) => session.on('error', resolve));
    session.push(speech(3));
    expect((await error).message).toMatch(/not a number/);
    await engine.close();
    await rm(model, { recursive: true });
  });
});

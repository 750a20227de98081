// npm run runtimes: the packed client in Bun, Deno and workerd, which come from npm for this; each talks with a server in Node,
// in workerd by Opus packets, as nothing there encodes or decodes.
import { join } from 'node:path';
import { build } from 'esbuild';
import { pack, project } from './packages.mjs';
import { fail, ROOT, step } from './steps.mjs';

const BUN = '@oven/bun-linux-x64@1.3.6';
const DENO = '@deno/linux-x64-glibc@2.9.6';
const WORKERD = 'miniflare@4.20260426.0';

/** A conversation that does not end. */
const TIMEOUT_MS = 60_000;

const { createServer, loopbackEngine } = await import('@moshi/server');
const server = await createServer({ engine: loopbackEngine(), port: 0 });
const archives = [await pack('protocol'), await pack('client')];

async function talkIn(name, runtime, command, args) {
  const folder = await project('anywhere', [...archives, runtime], name);
  const output = await step(`talk in ${name}`, join(folder, command), [...args, 'main.mjs', server.url], {
    cwd: folder,
    timeout: TIMEOUT_MS,
  });
  if (!output.includes('heard')) fail(`nothing was heard in ${name}:\n${output}`);
}

/** Bundled as Cloudflare's own tool does it. */
async function inWorkerd() {
  const folder = await project('worker', [...archives, await pack('server'), WORKERD]);
  const bundle = (options) => build({ bundle: true, format: 'esm', logLevel: 'error', ...options });
  const { metafile } = await bundle({
    entryPoints: [join(folder, 'main.mjs')],
    conditions: ['workerd', 'worker', 'browser'],
    outfile: join(folder, 'worker.js'),
    metafile: true,
  });
  const strange = Object.keys(metafile.inputs).filter((path) => /client\/dist\/(?!workerd\/)/.test(path));
  if (strange.length > 0) fail(`a worker was built with ${strange.join(', ')}`);
  // The tests' network: a connection is lost there.
  await bundle({
    entryPoints: [join(ROOT, 'packages', 'e2e', 'support', 'chaos-proxy.ts')],
    platform: 'node',
    outfile: join(folder, 'chaos-proxy.mjs'),
  });
  console.log(await step('talk in workerd', process.execPath, ['call.mjs'], { cwd: folder, timeout: TIMEOUT_MS }));
}

await talkIn('bun', BUN, 'node_modules/@oven/bun-linux-x64/bin/bun', []);
await talkIn('deno', DENO, 'node_modules/@deno/linux-x64-glibc/deno', [
  'run',
  '--allow-all',
  '--node-modules-dir=manual',
]);
await inWorkerd();
await server.close();

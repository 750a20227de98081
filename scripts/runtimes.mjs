// npm run runtimes: the packed client in Bun, Deno and workerd, which come from npm for this; each talks with a server in Node.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { pack, project } from './packages.mjs';
import { fail, step } from './steps.mjs';

const BUN = '@oven/bun-linux-x64@1.3.6';
const DENO = '@deno/linux-x64-glibc@2.9.6';
const WORKERD = 'miniflare@4.20260426.0';

const { createServer, loopbackEngine } = await import('@moshi/server');
const server = await createServer({ engine: loopbackEngine(), port: 0 });
const archives = [await pack('protocol'), await pack('client')];

async function talkIn(name, runtime, command, args) {
  const folder = await project('anywhere', [...archives, runtime], name);
  const output = await step(`talk in ${name}`, join(folder, command), [...args, 'main.mjs', server.url], {
    cwd: folder,
  });
  if (!output.includes('heard')) fail(`nothing was heard in ${name}:\n${output}`);
}

async function inWorkerd() {
  const folder = await project('worker', [...archives, WORKERD]);
  await build({
    entryPoints: [join(folder, 'main.mjs')],
    bundle: true,
    format: 'esm',
    conditions: ['workerd', 'worker', 'browser'],
    outfile: join(folder, 'worker.js'),
    logLevel: 'error',
  });
  const caller = `
    import { Miniflare } from 'miniflare';
    const worker = new Miniflare({ scriptPath: 'worker.js', modules: true, compatibilityDate: '2025-09-01' });
    for (const server of process.argv.slice(2)) {
      console.log(await (await worker.dispatchFetch('http://worker/?server=' + encodeURIComponent(server))).text());
    }
    await worker.dispose();`;
  writeFileSync(join(folder, 'call.mjs'), caller);
  const addresses = ['/api/chat', '/api/nothing'].map((path) => new URL(path, server.url).href);
  const output = await step('connect in workerd', process.execPath, ['call.mjs', ...addresses], { cwd: folder });
  if (!output.includes('message of 1 byte, the first 0') || !output.includes('refused with 404')) {
    fail(`no handshake, or no refusal, in workerd:\n${output}`);
  }
}

await talkIn('bun', BUN, 'node_modules/@oven/bun-linux-x64/bin/bun', []);
await talkIn('deno', DENO, 'node_modules/@deno/linux-x64-glibc/deno', [
  'run',
  '--allow-all',
  '--node-modules-dir=manual',
]);
await inWorkerd();
await server.close();

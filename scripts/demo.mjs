// npm run demo [-- --once]: builds, serves the embedded model on 8998, holds one conversation on a speech file, keeps serving.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from './build.mjs';
import { fail, ROOT, run } from './steps.mjs';

const once = process.argv.includes('--once');
const at = (option, fallback) => {
  const index = process.argv.indexOf(option);
  return index > 0 ? process.argv[index + 1] : fallback;
};
const port = at('--port', '8998');
const input = at('--input', join(ROOT, 'examples', 'audio', 'call-desk-24k.wav'));
const MOSHI = join(ROOT, 'packages', 'cli', 'bin', 'moshi.js');
const url = `ws://127.0.0.1:${port}`;

await build();

console.log('\nStarting the server with the embedded model …');
const server = spawn(process.execPath, [MOSHI, 'serve', '--port', port, '--host', '127.0.0.1'], {
  cwd: ROOT,
  stdio: 'inherit',
});
const ended = new Promise((resolve) => server.on('exit', resolve));
const stop = () => server.kill('SIGINT');
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

async function ready() {
  for (let tries = 0; tries < 150 && server.exitCode === null; tries++) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  stop();
  fail(`The server did not come up on port ${port}. Is the port taken? Try: npm run demo -- --port 8999`);
}
await ready();

const out = join(ROOT, 'out');
mkdirSync(out, { recursive: true });
const wav = join(out, 'reply.wav');
const text = join(out, 'reply.json');
console.log(`\nOne conversation over ${url}: ${relative(ROOT, input)} goes in, the model answers …`);
const { code } = await run(process.execPath, [
  MOSHI,
  'converse',
  input,
  wav,
  '--url',
  url,
  '--text',
  text,
  '--seed',
  '1',
]);
if (code !== 0) {
  stop();
  await ended;
  process.exit(code);
}
console.log(`
The reply       ${wav}
Its transcript  ${text}

The embedded model has the true architecture and random weights: it was never trained, so its sound is noise and its words
mean nothing. With real weights (downloaded once, about 16 GB):

  npx moshi serve --model kyutai/moshiko-pytorch-bf16
`);
if (once) {
  stop();
  process.exit((await ended) ?? 0);
}
console.log(`The server stays up; Ctrl-C ends it. Talk with it:

  in a browser      http://127.0.0.1:${port}
  in a terminal     npx moshi chat ${url}
  from a program    import { connect } from '@moshi/client';
                    const session = await connect('${url}');
`);
process.exit((await ended) ?? 0);

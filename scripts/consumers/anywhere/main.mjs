import { connect } from '@moshi/client';
import { talk } from './talk.mjs';

for (const entry of ['', '/core', '/sound', '/testing']) {
  const file = import.meta.resolve(`@moshi/client${entry}`);
  if (!file.includes('/dist/web/')) throw new Error(`@moshi/client${entry} is ${file} here`);
}
const [url] = (globalThis.Deno?.args ?? process.argv.slice(2)).slice(-1);
const { seconds } = await talk(connect, url);
console.log(`heard ${seconds} s`);

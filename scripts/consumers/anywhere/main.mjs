import { connect } from '@moshi/client';
import { talk } from './talk.mjs';

const [url] = (globalThis.Deno?.args ?? process.argv.slice(2)).slice(-1);
const { seconds } = await talk(connect, url);
console.log(`heard ${seconds} s`);

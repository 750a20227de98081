#!/usr/bin/env node
// A file of its own, so that npm can link the command in a fresh clone, before anything is built.
import { existsSync } from 'node:fs';

const built = new URL('../dist/moshi.js', import.meta.url);
if (existsSync(built)) {
  await import(built.href);
} else {
  console.error('moshi: not built yet: run `npm run build` in the repository first');
  process.exit(1);
}

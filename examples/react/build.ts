// npx tsx examples/react/build.ts FOLDER: the page as files, for `npx moshi serve --static FOLDER`.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { pageBuild } from '../common/page-build.ts';

const folder = process.argv[2];
if (!folder) throw new Error('say where to: npx tsx examples/react/build.ts FOLDER');
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
await mkdir(folder, { recursive: true });
await build({
  ...(await pageBuild()),
  entryPoints: [here('main.tsx')],
  outdir: folder,
  // Codecs and sound are loaded when they are needed.
  splitting: true,
  define: { 'process.env.NODE_ENV': '"production"' },
});
await copyFile(here('index.html'), join(folder, 'index.html'));

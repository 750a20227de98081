// npx tsx examples/bridge-agent/build.ts FOLDER: the bridge as three files that need Node and nothing else, for the container.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { pageBuild } from '../common/page-build.ts';
import { bundleClient } from './bundle-client.ts';

const folder = process.argv[2];
if (!folder) throw new Error('say where to: npx tsx examples/bridge-agent/build.ts FOLDER');
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
await mkdir(folder, { recursive: true });
await build({
  ...(await pageBuild()),
  entryPoints: [here('main.ts')],
  outfile: join(folder, 'main.mjs'),
  platform: 'node',
  target: 'node20',
  external: ['esbuild'],
  minify: false,
  // `ws` is CommonJS and asks for Node's modules with require.
  banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
});
await bundleClient(join(folder, 'moshi-client.js'));
await copyFile(here('page.html'), join(folder, 'page.html'));

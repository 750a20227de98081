// Builds the page into packages/server/dist/page: index.html, and _moshi/ with everything it loads, named by content.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const HERE = dirname(fileURLToPath(import.meta.url));
const WORKLETS = ['capture', 'playout', 'recorder'];

/** Where the page goes when nothing else is said: into the server's package, which ships it. */
export const PAGE = join(HERE, '..', 'server', 'dist', 'page');

/**
 * `out`: the folder to fill, emptied first. `alias`: modules in place of others, as esbuild takes them.
 * `worklets`: the folder of the client's built worklets; without it the client falls back to those inlined in it.
 */
export async function buildPage({
  out = PAGE,
  alias = {},
  worklets = join(HERE, '..', 'client', 'dist', 'worklets'),
} = {}) {
  const assets = join(out, '_moshi');
  await rm(out, { recursive: true, force: true });
  await mkdir(assets, { recursive: true });

  /** Writes a file under a name made of its content; gives its address as the document sees it. */
  const add = async (name, bytes) => {
    const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 10);
    const hashed = `${basename(name, extname(name))}-${digest}${extname(name)}`;
    await writeFile(join(assets, hashed), bytes);
    return `_moshi/${hashed}`;
  };

  const workletFiles = {};
  for (const name of WORKLETS) {
    const file = join(worklets, `${name}.js`);
    if (existsSync(file)) workletFiles[name] = await add(`${name}.js`, await readFile(file));
  }

  const { metafile } = await build({
    entryPoints: { app: join(HERE, 'src', 'main.tsx'), style: join(HERE, 'src', 'styles', 'index.css') },
    outdir: assets,
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: ['chrome105', 'firefox115', 'safari16'],
    minify: true,
    metafile: true,
    jsx: 'automatic',
    jsxImportSource: 'preact',
    alias,
    define: { WORKLETS: JSON.stringify(Object.keys(workletFiles).length === WORKLETS.length ? workletFiles : null) },
    logLevel: 'warning',
    // What the client's files import of each other for the order alone is nothing here.
    logOverride: { 'ignored-bare-import': 'silent' },
  });

  const built = (entry) => {
    const [path] = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint?.endsWith(entry));
    return `_moshi/${basename(path)}`;
  };
  const addresses = {
    script: built('main.tsx'),
    style: built('index.css'),
    icon: await add('icon.svg', await readFile(join(HERE, 'src', 'icon.svg'))),
  };
  // What a call needs is fetched while the page is being looked at, after what it takes to show it.
  addresses.later = Object.keys(metafile.outputs)
    .map((path) => `_moshi/${basename(path)}`)
    .filter((address) => address.endsWith('.js') && address !== addresses.script)
    .map((address) => `<link rel="modulepreload" href="${address}" fetchpriority="low">`)
    .join('\n');
  const template = await readFile(join(HERE, 'index.html'), 'utf8');
  await writeFile(
    join(out, 'index.html'),
    template.replace(/\{\{(\w+)\}\}/g, (_, name) => addresses[name]),
  );
  return { metafile };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await buildPage();

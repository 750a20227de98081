// npm run size: what @moshi/client weighs in other people's bundles, gzipped; fails when the core is over its budget. Needs a build.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build as esbuild } from 'esbuild';
import { build as vite } from 'vite';
import { ROOT } from './steps.mjs';

/** What a page loads before its first line runs, and what it may weigh in bytes. */
const CASES = [
  { name: 'core', from: '@moshi/client/core', use: 'connect', source: 'core.ts', budget: 15_000 },
  {
    name: 'core, its sound when a session opens',
    from: '@moshi/client/core',
    use: "(url) => connect(url, { sound: () => import('@moshi/client/sound') })",
    source: 'core.ts',
    // Vite adds its own preloading of what comes later.
    budget: 16_000,
    // In one file nothing is later.
    splitOnly: true,
  },
  { name: 'all', from: '@moshi/client', use: 'connect', source: 'index.ts' },
];

/** As a stranger's project: packages by their names, as their package.json says. */
function project(code) {
  const folder = mkdtempSync(join(tmpdir(), 'moshi-size-'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'src', 'main.js'), code);
  writeFileSync(join(folder, 'index.html'), '<!doctype html><script type="module" src="/src/main.js"></script>');
  return folder;
}

/** Files of a build as `{ name, bytes, imports, entry }`, where imports are what has to be loaded with it. */
async function withEsbuild(folder, splitting) {
  const { outputFiles, metafile } = await esbuild({
    entryPoints: [join(folder, 'src', 'main.js')],
    absWorkingDir: folder,
    outdir: join(folder, 'out'),
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    splitting,
    write: false,
    metafile: true,
    logLevel: 'error',
  });
  const files = Object.entries(metafile.outputs).map(([path, output]) => ({
    name: path,
    bytes: outputFiles.find((file) => file.path.endsWith(basename(path))).contents,
    imports: output.imports.filter(({ kind }) => kind === 'import-statement').map((each) => each.path),
    entry: output.entryPoint?.endsWith('src/main.js') ?? false,
  }));
  return files;
}

async function withVite(folder) {
  const { output } = await vite({ root: folder, logLevel: 'error', build: { write: false, target: 'es2022' } });
  const chunks = output.filter(({ type }) => type === 'chunk');
  return chunks.map(({ fileName, code, imports, isEntry }) => ({
    name: fileName,
    bytes: Buffer.from(code),
    imports,
    entry: isEntry,
  }));
}

const gzipped = (files) => files.reduce((sum, { bytes }) => sum + gzipSync(bytes, { level: 9 }).length, 0);

/** What comes with the entry, and what is fetched later. */
function weigh(files) {
  const first = new Set();
  const visit = (file) => {
    if (!file || first.has(file)) return;
    first.add(file);
    for (const name of file.imports) visit(files.find((each) => each.name === name));
  };
  visit(files.find(({ entry }) => entry));
  return { first: gzipped([...first]), later: files.filter((file) => !first.has(file)) };
}

/** The files that an entry of the sources is made of, the largest first: published ones are one file already. */
async function largest(entry, count) {
  const { metafile } = await esbuild({
    entryPoints: [join(ROOT, 'packages', 'client', 'src', entry)],
    absWorkingDir: ROOT,
    tsconfig: join(ROOT, 'tsconfig.json'),
    bundle: true,
    minify: true,
    splitting: true,
    outdir: 'out',
    // Named by libopus-wasm where it finds itself in Node.
    external: ['node:*'],
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
    logLevel: 'error',
  });
  const { inputs } = Object.values(metafile.outputs).find(({ entryPoint }) => entryPoint?.endsWith(entry));
  return Object.entries(inputs)
    .sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput)
    .slice(0, count)
    .map(([name, { bytesInOutput }]) => `    ${kilo(bytesInOutput)} minified  ${name}`);
}

const kilo = (bytes) => `${(bytes / 1000).toFixed(1)} kB`.padStart(8);

let failed = false;
for (const { name, from, use, source, budget, splitOnly } of CASES) {
  const folder = project(`import { connect } from '${from}';\nglobalThis.use = ${use};\n`);
  try {
    const builds = {
      'esbuild, split': await withEsbuild(folder, true),
      ...(!splitOnly && { 'esbuild, one file': await withEsbuild(folder, false) }),
      vite: await withVite(folder),
    };
    for (const [builder, files] of Object.entries(builds)) {
      const { first, later } = weigh(files);
      const over = budget !== undefined && first > budget;
      failed ||= over;
      const limit = budget === undefined ? '' : ` of ${kilo(budget).trim()}`;
      console.log(`${over ? '✗' : '✓'} ${name}, ${builder}: ${kilo(first).trim()}${limit} gzipped`);
      const lazy = later.filter(({ bytes }) => bytes.length > 1000).sort((a, b) => b.bytes.length - a.bytes.length);
      for (const file of lazy) console.log(`    ${kilo(gzipped([file]))} later     ${basename(file.name)}`);
    }
    if (failed && budget) console.log((await largest(source, 12)).join('\n'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
if (failed) console.log('\nover budget: see docs/bundles.md for what belongs into the core');
process.exit(failed ? 1 : 0);

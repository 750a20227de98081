// npm run packages: what npm would publish, packed, looked at by publint and are-the-types-wrong, and installed into empty projects
// that each hold a conversation. Needs a build; the registry gives their dependencies, and Chromium runs those for browsers.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fail, ROOT, step } from './steps.mjs';

const PACKAGES = ['protocol', 'client', 'server'];
const CONSUMERS = join(ROOT, 'scripts', 'consumers');
const CHROMIUM = [process.env.MOSHI_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path && existsSync(path),
);
const bin = (name, path) => join(ROOT, 'node_modules', name, path);
const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm'];

const work = mkdtempSync(join(tmpdir(), 'moshi-packages-'));
process.once('exit', () => rmSync(work, { recursive: true, force: true }));

/** Packs a package as it would be published and returns the path of the archive. */
export async function pack(name) {
  const folder = join(work, 'packed', name);
  mkdirSync(folder, { recursive: true });
  const [command, ...args] = npm;
  const cwd = join(ROOT, 'packages', name);
  await step(`pack @moshi/${name}`, command, [...args, 'pack', '--ignore-scripts', '--pack-destination', folder], {
    cwd,
  });
  return join(folder, readdirSync(folder)[0]);
}

/** Rules that a package cannot follow: Node 10 knows no entries beside the main one. */
async function inspect(name, archive) {
  await step(`publint @moshi/${name}`, process.execPath, [bin('publint', 'src/cli.js'), archive, '--strict']);
  const attw = bin('@arethetypeswrong/cli', 'dist/index.js');
  await step(`types of @moshi/${name}`, process.execPath, [attw, archive, '--profile', 'node16']);
}

/** An empty project, one of `consumers`, with the packages installed; returns its folder. */
export async function project(name, archives, folderName = name) {
  const folder = join(work, folderName);
  cpSync(join(CONSUMERS, name), folder, { recursive: true });
  cpSync(join(CONSUMERS, 'talk.mjs'), join(folder, 'talk.mjs'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: folderName, private: true }));
  const [command, ...args] = npm;
  const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
  await step(`install into an empty project: ${folderName}`, command, [...args, 'install', ...flags, ...archives], {
    cwd: folder,
  });
  return folder;
}

async function inNode(name, file, archives) {
  const folder = await project(name, archives);
  await step(`talk in ${name}`, process.execPath, [join(folder, file)], { cwd: folder });
}

/** Loads a folder's page in Chromium, from a server that also talks, and waits until the page has heard enough. */
async function inChromium(name, folder) {
  if (!CHROMIUM) return console.log(`– ${name} is not tried in a browser: no Chromium (apt-get install chromium)`);
  const { createServer, loopbackEngine } = await import('@moshi/server');
  const { chromium } = await import('playwright-core');
  const server = await createServer({ engine: loopbackEngine(), port: 0, staticDir: folder });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(server.url);
    await page
      .waitForFunction(() => document.title !== 'talking', undefined, { timeout: 30_000 })
      .catch(() => undefined);
    const title = await page.title();
    if (!title.startsWith('heard') || errors.length > 0) fail(`${name} in Chromium: ${title}\n${errors.join('\n')}`);
    console.log(`✓ ${name} in Chromium ${title}`);
  } finally {
    await browser.close();
    await server.close();
  }
}

/** The declarations of the packages hold in a strict program, with and without the DOM. */
async function types(archives) {
  const folder = await project('types', archives);
  mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
  for (const name of ['node', 'ws']) {
    cpSync(bin('@types', name), join(folder, 'node_modules', '@types', name), { recursive: true });
  }
  cpSync(bin('undici-types', ''), join(folder, 'node_modules', 'undici-types'), { recursive: true });
  const common = { strict: true, noEmit: true, skipLibCheck: false, target: 'es2022', types: ['node'] };
  const programs = {
    'node16, no DOM': { ...common, module: 'node16', moduleResolution: 'node16', lib: ['es2023'] },
    'bundler, DOM': { ...common, module: 'esnext', moduleResolution: 'bundler', lib: ['es2023', 'dom'], types: [] },
  };
  for (const [name, compilerOptions] of Object.entries(programs)) {
    const config = join(folder, 'tsconfig.json');
    writeFileSync(config, JSON.stringify({ compilerOptions, files: ['main.ts'] }));
    await step(`types for ${name}`, process.execPath, [bin('typescript', 'bin/tsc'), '-p', config], { cwd: folder });
  }
}

export async function packages() {
  const archives = await Promise.all(PACKAGES.map(pack));
  await Promise.all(archives.map((archive, i) => inspect(PACKAGES[i], archive)));
  await inNode('node-esm', 'main.mjs', archives);
  await inNode('node-cjs', 'main.cjs', archives);
  await types(archives);

  const bundled = await project('vite', archives);
  await step('build with vite', process.execPath, [bin('vite', 'bin/vite.js'), 'build'], { cwd: bundled });
  await inChromium('vite', join(bundled, 'dist'));

  const script = await project('script', archives);
  cpSync(join(script, 'node_modules/@moshi/client/dist/standalone/moshi.iife.js'), join(script, 'moshi.iife.js'));
  await inChromium('script', script);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await packages();

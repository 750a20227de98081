// What the repository's scripts share: running a step with its output kept quiet unless it fails, and visible progress.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

export function fail(message) {
  console.error(`\n${message}`);
  process.exit(1);
}

const running = new Set();
// When one of several steps fails, the others are of no use.
process.once('exit', () => {
  for (const child of running) child.kill();
});

/** Runs a command in the repository, for `timeout` milliseconds at most; resolves with its exit code and, when quiet, its output. */
export function run(command, args, { quiet = false, cwd = ROOT, env = {}, timeout } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
      shell: false,
      // A group of its own, so that what it starts is stopped with it.
      detached: timeout !== undefined,
    });
    let timedOut = false;
    running.add(child);
    const stop = () => process.kill(-child.pid, 'SIGKILL');
    const interrupted = () => {
      stop();
      process.exit(130);
    };
    if (timeout !== undefined) process.once('SIGINT', interrupted);
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            stop();
          }, timeout);
    let output = '';
    child.stdout?.on('data', (data) => (output += data));
    child.stderr?.on('data', (data) => (output += data));
    const end = (code, words = output) => {
      clearTimeout(timer);
      running.delete(child);
      process.off('SIGINT', interrupted);
      resolve({ code, output: words, timedOut });
    };
    child.on('error', (error) => end(127, String(error.message)));
    child.on('close', (code) => end(code ?? 1));
  });
}

/** A step with one line of its own: its name while it runs, its time when it is done, its whole output when it fails. */
export async function step(name, command, args, options = {}) {
  const started = Date.now();
  const line = (mark, note) => `${mark} ${name.padEnd(34)} ${note}`;
  const live = process.stdout.isTTY;
  const timer = live
    ? setInterval(() => process.stdout.write(`\r${line('…', `${Math.round((Date.now() - started) / 1000)} s`)}`), 500)
    : undefined;
  if (!live) console.log(line('…', ''));
  const { code, output } = await run(command, args, { quiet: true, ...options });
  clearInterval(timer);
  const seconds = `${((Date.now() - started) / 1000).toFixed(1)} s`;
  console.log(`${live ? '\r' : ''}${line(code === 0 ? '✓' : '✗', seconds)}`);
  if (code !== 0) {
    console.error(output);
    fail(`${name} failed: the command was \`${command} ${args.join(' ')}\``);
  }
  return output;
}

const INSTALL_COMPILER = {
  darwin: 'Install them:\n  xcode-select --install',
  linux: 'On Debian or Ubuntu:\n  sudo apt-get update && sudo apt-get install -y make g++',
  win32: 'In a UCRT64 shell of MSYS2, and build there:\n  pacman -S make mingw-w64-ucrt-x86_64-gcc',
};

/** Says at once what a fresh machine lacks, with the line that installs it. */
export async function checkTools() {
  const [major = 0] = process.versions.node.split('.').map(Number);
  if (major < 20) fail(`Node ${process.versions.node} is too old: version 20 or newer is needed.`);
  const missing = [];
  for (const [tool, name] of [
    ['make', 'make'],
    [process.env.CXX || 'g++', 'g++'],
  ]) {
    if ((await run(tool, ['--version'], { quiet: true })).code !== 0) missing.push(name);
  }
  if (missing.length > 0) {
    fail(`${missing.join(' and ')} not found. ${INSTALL_COMPILER[process.platform] ?? INSTALL_COMPILER.linux}`);
  }
}

/** When the newest file of a folder, or the file itself, was written; 0 when there is none. */
export function newest(path) {
  const info = statSync(path, { throwIfNoEntry: false });
  if (!info) return 0;
  if (!info.isDirectory()) return info.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

const time = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Installs the npm packages unless node_modules is newer than the lockfile. */
export async function install() {
  const marker = join(ROOT, 'node_modules', '.package-lock.json');
  const lock = join(ROOT, 'package-lock.json');
  if (existsSync(marker) && time(marker) >= time(lock)) return;
  // Not `npm ci`: it refuses a lockfile without the optional packages of platforms other than the one that wrote it.
  // By the npm that runs this, if one does: on Windows its name is that of a script, which cannot be started by itself.
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm ? [process.execPath, npm] : ['npm'];
  await step('install npm packages', command, [...args, 'install', '--no-audit', '--no-fund']);
}

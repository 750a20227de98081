// Formats the native sources with clang-format, or with --check says which are not formatted.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT } from './steps.mjs';

const NATIVE = join(ROOT, 'packages', 'engine-cuda', 'native');
const CLANG_FORMAT = join(ROOT, 'node_modules', 'clang-format', 'index.js');

const files = readdirSync(NATIVE, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.(cc|cu|h|inc)$/.test(entry.name) && !entry.parentPath.includes('build'))
  .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
const mode = process.argv.includes('--check') ? ['--dry-run', '--Werror'] : ['-i'];
const { status } = spawnSync(process.execPath, [CLANG_FORMAT, ...mode, '--style=file', ...files], {
  cwd: ROOT,
  stdio: 'inherit',
});
process.exit(status ?? 1);

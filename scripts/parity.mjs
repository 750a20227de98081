// npm run parity -- [--isa NAME] [--threads N] [--gpu INDEX] DIR…: runs golden cases, one row a check with its largest
// error; exit 1 if any falls short.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildPackage, make } from './build.mjs';
import { checkTools, install, ROOT, run } from './steps.mjs';

const args = process.argv.slice(2);
if (args.length === 0) {
  console.error(
    'usage: npm run parity -- [--isa baseline|avx2|avx2-vnni|avx512|avx512-vnni|dotprod] [--threads N] [--gpu INDEX] DIR…',
  );
  process.exit(2);
}
await checkTools();
await install();
const binary = join(ROOT, 'packages', 'engine-cuda', 'native', 'build', 'parity');
await make('build the parity checker', 'build/parity');

// Wire cases are TypeScript's: the same rows from the same kind of folder.
const isWire = (dir) => existsSync(join(dir, 'messages.json')) || existsSync(join(dir, 'expected.json'));
const engine = [];
const wire = [];
let options = true;
for (let i = 0; i < args.length; i++) {
  options &&= args[i].startsWith('--');
  if (options) {
    engine.push(args[i], args[++i] ?? '');
    continue;
  }
  (isWire(args[i]) ? wire : engine).push(resolve(process.env.INIT_CWD ?? process.cwd(), args[i]));
}
let code = 0;
if (engine.some((arg) => arg.startsWith('/'))) code = (await run(binary, engine)).code;
if (wire.length > 0) {
  await buildPackage('protocol');
  const wireCode = (await run(process.execPath, [join(ROOT, 'scripts', 'parity-wire.mjs'), ...wire])).code;
  code ||= wireCode;
}
process.exit(code);

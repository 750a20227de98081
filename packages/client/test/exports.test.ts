import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { browserCodecs } from '../src/codec/no-codecs';

const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { exports, imports } = JSON.parse(readFileSync(file('package.json'), 'utf8'));

type Target = string | { readonly [condition: string]: Target };

/** As runtimes and bundlers choose: the first condition that holds, at each level. */
function resolve(target: Target, conditions: readonly string[]): string | undefined {
  if (typeof target === 'string') return target;
  for (const [condition, inner] of Object.entries(target)) {
    const found = conditions.includes(condition) || condition === 'default' ? resolve(inner, conditions) : undefined;
    if (found) return found;
  }
  return undefined;
}

/** What each says of itself, as found in its documentation. */
const runtimes = [
  { name: 'Node, import', conditions: ['node', 'import', 'module-sync', 'node-addons'], folder: 'node', end: 'js' },
  { name: 'Node, require', conditions: ['node', 'require', 'module-sync', 'node-addons'], folder: 'node', end: 'cjs' },
  { name: 'Bun', conditions: ['bun', 'node', 'import'], folder: 'web', end: 'js' },
  { name: 'Deno', conditions: ['deno', 'node', 'import'], folder: 'web', end: 'js' },
  {
    name: 'a worker of Cloudflare',
    conditions: ['workerd', 'worker', 'browser', 'import'],
    folder: 'workerd',
    end: 'js',
  },
  { name: 'Vite', conditions: ['module', 'browser', 'production', 'import'], folder: 'web', end: 'js' },
  { name: 'a bundler for browsers, require', conditions: ['module', 'browser', 'require'], folder: 'web', end: 'cjs' },
] as const;

it.each(runtimes)('has a build for $name', ({ conditions, folder, end }) => {
  for (const [entry, name] of [
    ['.', 'index'],
    ['./core', 'core'],
    ['./sound', 'sound'],
    ['./testing', 'testing'],
  ] as const) {
    expect(resolve(exports[entry], conditions)).toBe(`./dist/${folder}/${name}.${end}`);
    const types = end === 'cjs' ? 'd.cts' : 'd.ts';
    expect(resolve(exports[entry], ['types', ...conditions])).toBe(`./dist/${name}.${types}`);
  }
});

it('is made of what each runtime has', () => {
  const parts = (condition: string) =>
    ['#platform', '#audio', '#codecs'].map((name) => resolve(imports[name], [condition])?.replace('./src/', ''));
  const found = { node: parts('node'), browser: parts('browser'), workerd: parts('workerd') };
  expect(found).toEqual({
    node: ['platform/node.ts', 'audio/no-devices.ts', 'codec/webcodecs.ts'],
    browser: ['platform/web.ts', 'web-audio/platform.ts', 'codec/webcodecs.ts'],
    workerd: ['platform/workerd.ts', 'audio/no-devices.ts', 'codec/no-codecs.ts'],
  });
  for (const path of Object.values(found).flat()) expect(existsSync(file(`src/${path}`))).toBe(true);
});

it('says in a worker what to do without codecs', async () => {
  const options = { maxSeconds: 1 };
  await expect(browserCodecs().createDecoder(options)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('codecs: false'),
  });
});

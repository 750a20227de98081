import { readFile } from 'node:fs/promises';
import { defineConfig, type Options } from 'tsup';
import { DECODER, OPUS, packageBuild } from '../../tsup.base';
import { WORKLETS, workletsAsText } from './worklets.build';

const entry = { index: 'src/index.ts', core: 'src/core.ts', sound: 'src/sound.ts', testing: 'src/testing/index.ts' };

/** `await using` on a session, for programs that ask for an older library of the language. */
const DISPOSABLE = '/// <reference lib="esnext.disposable" />';

type EsbuildPlugin = NonNullable<Options['esbuildPlugins']>[number];

/** libopus-wasm names modules of Node's where it finds itself there, and bundlers for browsers stop at the names. */
const withoutNode: EsbuildPlugin = {
  name: 'without-node',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'without-node' }));
    build.onLoad({ filter: /.*/, namespace: 'without-node' }, () => ({ contents: 'export {}' }));
  },
};

/** The decoder's WebAssembly is a raw template full of control characters, which Bun does not read as it stands; any string may have escapes. */
const plainString: EsbuildPlugin = {
  name: 'plain-string',
  setup(build) {
    build.onLoad({ filter: /opus-decoder.src.EmscriptenWasm\.js$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      return { contents: source.replace(/String\.raw`([^`]*)`/s, (_, raw: string) => JSON.stringify(raw)) };
    });
  },
};

/** What builds for elsewhere than Node have in common. */
const forWeb: Options = { platform: 'browser', esbuildPlugins: [withoutNode, plainString, workletsAsText] };

/** One build for each kind of runtime; `#platform`, `#audio` and `#codecs` in package.json are what makes them differ. */
function runtime(name: string, condition: string, format: 'esm' | 'cjs'): Options {
  return packageBuild({
    entry,
    format: [format],
    outDir: `dist/${name}`,
    dts: false,
    clean: false,
    // What is loaded when it is needed stays a file of its own, and a class is the same one from every entry.
    splitting: true,
    noExternal: name === 'node' && format === 'esm' ? OPUS : [...OPUS, ...DECODER],
    removeNodeProtocol: false,
    // The shim stands in for import.meta.url in CommonJS.
    ...(condition === 'node' ? { platform: 'node', shims: true } : forWeb),
    esbuildOptions: (options) => {
      options.conditions = [condition];
      // Elsewhere it is as if there were no `process`, also where there is one for the sake of other programs.
      if (condition !== 'node') options.define = { ...options.define, 'globalThis.process': 'undefined' };
      options.logOverride = { 'empty-import-meta': 'silent' };
    },
  });
}

export default defineConfig([
  // Types are the same everywhere.
  packageBuild({ entry, format: ['esm', 'cjs'], dts: { only: true, banner: DISPOSABLE }, clean: false }),
  runtime('node', 'node', 'esm'),
  runtime('node', 'node', 'cjs'),
  runtime('web', 'browser', 'esm'),
  runtime('web', 'browser', 'cjs'),
  runtime('workerd', 'workerd', 'esm'),
  // As files, for pages whose policy allows no other scripts.
  packageBuild({
    entry: Object.fromEntries(WORKLETS.map((name) => [name, `src/worklets/${name}.ts`])),
    format: ['esm'],
    outDir: 'dist/worklets',
    dts: false,
    clean: false,
    platform: 'browser',
    splitting: false,
    minify: true,
    noExternal: [/.*/],
  }),
  // For a plain <script>: globalThis.Moshi, and everything inside.
  {
    ...runtime('standalone', 'browser', 'esm'),
    entry: { moshi: 'src/index.ts' },
    format: ['iife'],
    globalName: 'Moshi',
    outExtension: () => ({ js: '.iife.js' }),
    splitting: false,
    minify: true,
    noExternal: [/.*/],
  },
]);

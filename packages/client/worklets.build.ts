// Worklets are programs of their own: whoever imports `…/worklets/NAME?worklet` gets the whole of one as text.
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SOURCES = fileURLToPath(new URL('src/worklets/', import.meta.url));
const QUERY = /\?worklet$/;

/** The worklets there are, each a file in `src/worklets`. */
export const WORKLETS = ['capture', 'playout', 'recorder'];

/** Bundles one worklet, from the sources of this repository; returns JavaScript. */
export async function bundleWorklet(name: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [`${SOURCES}${name}.ts`],
    absWorkingDir: ROOT,
    tsconfig: `${ROOT}tsconfig.json`,
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2022',
  });
  return outputFiles[0]!.text;
}

const nameOf = (path: string) => /(\w+)(?:\.ts)?\?worklet$/.exec(path)?.[1] ?? path;
const asModule = async (path: string) => `export default ${JSON.stringify(await bundleWorklet(nameOf(path)))};`;

/** For esbuild and tsup. */
export const workletsAsText: Plugin = {
  name: 'worklets-as-text',
  setup(build) {
    build.onResolve({ filter: QUERY }, ({ path }) => ({ path: nameOf(path), namespace: 'worklet' }));
    build.onLoad({ filter: /.*/, namespace: 'worklet' }, async ({ path }) => ({
      contents: await asModule(`${path}?worklet`),
      watchFiles: [`${SOURCES}${path}.ts`],
    }));
  },
};

/** For Vite and vitest. */
export const workletsAsTextInVite = {
  name: 'worklets-as-text',
  enforce: 'pre' as const,
  resolveId: (id: string) => (QUERY.test(id) ? `\0${nameOf(id)}?worklet` : undefined),
  load: (id: string) => (QUERY.test(id) ? asModule(id) : undefined),
};

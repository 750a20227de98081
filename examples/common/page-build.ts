import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { BuildOptions } from 'esbuild';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const repository = here('../../tsconfig.json');

/** Inside this repository the SDK is taken from its sources, as its tsconfig says; elsewhere from node_modules. */
export const tsconfig = existsSync(repository) ? repository : undefined;

/** How esbuild makes a page's program that uses the SDK. */
export async function pageBuild(): Promise<BuildOptions> {
  // Its sources have worklets as programs of their own; what is published has them built in.
  const plugin = here('../../packages/client/worklets.build.ts');
  return {
    bundle: true,
    tsconfig,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    // The codecs look for Node before they use it; a browser never gets there.
    external: ['node:*'],
    plugins: tsconfig ? [(await import(plugin)).workletsAsText] : [],
    logLevel: 'error',
  };
}

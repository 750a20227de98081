import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const packages = here('../../tsconfig.json');

/** Inside this repository the SDK is taken from its sources, as its tsconfig says; elsewhere from node_modules. */
export const tsconfig = existsSync(packages) ? packages : undefined;

/** Makes one ES module for browsers of the SDK's client and the resampler; with `outfile` it is written there as well. */
export async function bundleClient(outfile?: string): Promise<Uint8Array> {
  // Only when it is needed: the container has no esbuild.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    stdin: {
      contents: `export { connect } from '@moshi/client'; export { Resampler } from '@moshi/protocol/audio';`,
      resolveDir: here('.'),
    },
    bundle: true,
    tsconfig,
    format: 'esm',
    platform: 'browser',
    minify: true,
    // The codecs look for Node before they use it; a browser never gets there.
    external: ['node:*'],
    write: false,
    logLevel: 'error',
  });
  const { contents } = outputFiles[0]!;
  if (outfile) await (await import('node:fs/promises')).writeFile(outfile, contents);
  return contents;
}

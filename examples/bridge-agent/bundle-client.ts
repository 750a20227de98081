import { fileURLToPath } from 'node:url';

/** Makes one ES module for browsers of the SDK's client as it is published; with `outfile` it is written there as well. */
export async function bundleClient(outfile?: string): Promise<Uint8Array> {
  // Only when it is needed: the container has no esbuild.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    stdin: {
      contents: `export { connect } from '@moshi/client';`,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    // The sources that this repository's own tsconfig.json points to are not what is published.
    tsconfigRaw: '{}',
    bundle: true,
    format: 'esm',
    platform: 'browser',
    minify: true,
    write: false,
    logLevel: 'error',
  });
  const { contents } = outputFiles[0]!;
  if (outfile) await (await import('node:fs/promises')).writeFile(outfile, contents);
  return contents;
}

import { fileURLToPath } from 'node:url';
import { pageBuild } from '../common/page-build.ts';

/** Makes one ES module for browsers of the SDK's client; with `outfile` it is written there as well. */
export async function bundleClient(outfile?: string): Promise<Uint8Array> {
  // Only when it is needed: the container has no esbuild.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    ...(await pageBuild()),
    stdin: {
      contents: `export { connect } from '@moshi/client';`,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    write: false,
  });
  const { contents } = outputFiles![0]!;
  if (outfile) await (await import('node:fs/promises')).writeFile(outfile, contents);
  return contents;
}

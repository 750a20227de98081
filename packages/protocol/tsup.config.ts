import { existsSync } from 'node:fs';
import { defineConfig, type Options } from 'tsup';
import { packageBuild } from '../../tsup.base';

const entry = { index: 'src/index.ts', audio: 'src/audio/index.ts' };

/** Node and browsers take no import without its file's whole name. */
const wholeNames: NonNullable<Options['plugins']>[number] = {
  name: 'whole-names',
  renderChunk: (code) => ({
    code: code.replace(/( from |^import )"(\.[^"]+)"/gm, (_, word: string, name: string) => {
      // Modules lie at most one folder deep.
      const isFolder = ['src', 'src/audio'].some((folder) => existsSync(`${folder}/${name}/index.ts`));
      return `${word}"${name}${isFolder ? '/index' : ''}.js"`;
    }),
  }),
};

export default defineConfig([
  packageBuild({ entry, format: ['cjs'], clean: false }),
  packageBuild({ entry, format: ['esm'], dts: { only: true }, clean: false }),
  // A file for each module: bundlers that split take whole files, and what only a codec needs is to come with the codec.
  packageBuild({
    entry: ['src/**/*.ts'],
    format: ['esm'],
    outDir: 'dist/esm',
    bundle: false,
    dts: false,
    clean: false,
    plugins: [wholeNames],
  }),
]);

import type { Options } from 'tsup';

/** What every package's build shares: ESM and CommonJS, each with its own types, and source maps. */
export function packageBuild(overrides: Options = {}): Options {
  return {
    entry: ['src/index.ts'],
    format: ['esm', 'cjs'],
    dts: true,
    sourcemap: true,
    clean: true,
    target: 'es2022',
    silent: true,
    ...overrides,
  };
}

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

/** @moshi/opus is private and libopus-wasm has no CommonJS entry, so both travel inside whatever needs them. */
export const OPUS: NonNullable<Options['noExternal']> = [/^@moshi\/opus/, 'libopus-wasm'];

/** opus-decoder is ESM too: an ES module imports it, a CommonJS build has to contain it, worker shim and all. */
export const DECODER: NonNullable<Options['noExternal']> = [
  'opus-decoder',
  /^@wasm-audio-decoders\//,
  'simple-yenc',
  '@eshaz/web-worker',
];

/** Builds for Node of a package that carries Opus. */
export function opusPackageBuild(): Options[] {
  // The shim stands in for import.meta.url; Node imports keep their `node:`.
  const shared: Options = { shims: true, removeNodeProtocol: false, clean: false };
  return [
    packageBuild({ ...shared, format: ['esm'], noExternal: OPUS }),
    packageBuild({ ...shared, format: ['cjs'], noExternal: [...OPUS, ...DECODER] }),
  ];
}

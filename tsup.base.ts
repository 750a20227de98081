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

/**
 * Builds of a package that carries Opus: @moshi/opus is private and libopus-wasm has no CommonJS entry, so both travel inside.
 * opus-decoder is ESM too: an ES module imports it, the CommonJS build has to contain it, worker shim and all.
 */
export function opusPackageBuild(): Options[] {
  const inside = ['@moshi/opus', 'libopus-wasm'];
  const decoder = ['opus-decoder', /^@wasm-audio-decoders\//, 'simple-yenc', '@eshaz/web-worker'];
  // The shim stands in for import.meta.url; Node imports keep their `node:` so that bundlers for browsers can drop them.
  const shared: Options = { shims: true, removeNodeProtocol: false, clean: false };
  return [
    packageBuild({ ...shared, format: ['esm'], noExternal: inside }),
    packageBuild({ ...shared, format: ['cjs'], noExternal: [...inside, ...decoder] }),
  ];
}

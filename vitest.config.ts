import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { workletsAsTextInVite } from './packages/client/worklets.build.ts';

const source = (name: string) => fileURLToPath(new URL(`./packages/${name}/src/index.ts`, import.meta.url));

// Tests read the packages' sources, so a test run never depends on a stale build.
export default defineConfig({
  plugins: [workletsAsTextInVite],
  resolve: {
    alias: {
      '@moshi/protocol/audio': fileURLToPath(new URL('./packages/protocol/src/audio/index.ts', import.meta.url)),
      '@moshi/client/testing': fileURLToPath(new URL('./packages/client/src/testing/index.ts', import.meta.url)),
      ...Object.fromEntries(
        ['protocol', 'opus', 'client', 'server', 'engine-cuda'].map((name) => [`@moshi/${name}`, source(name)]),
      ),
    },
  },
  test: {
    include: ['packages/*/{src,test}/**/*.test.ts', 'examples/**/*.test.ts'],
    // Of tests that say they may run beside others: long processes of their own.
    maxConcurrency: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { workletsAsTextInVite } from './packages/client/worklets.build.ts';

const packages = fileURLToPath(new URL('./packages', import.meta.url));

export default defineConfig({
  plugins: [workletsAsTextInVite],
  resolve: {
    // Tests read the packages' sources, so a test run never depends on a stale build.
    alias: [
      { find: '@moshi/protocol/audio', replacement: `${packages}/protocol/src/audio/index.ts` },
      { find: '@moshi/client/testing', replacement: `${packages}/client/src/testing/index.ts` },
      { find: /^@moshi\/([a-z-]+)$/, replacement: `${packages}/$1/src/index.ts` },
      { find: /^@moshi\/([a-z-]+)\/([a-z-]+)$/, replacement: `${packages}/$1/src/$2.ts` },
    ],
  },
  test: {
    // Of tests that say they may run beside others: long processes of their own.
    maxConcurrency: 2,
    // Machines are shared: what is polled for comes when it comes.
    expect: { poll: { timeout: 20_000 } },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'packages',
          include: ['packages/*/{src,test}/**/*.test.ts', 'examples/**/*.test.ts'],
          exclude: ['packages/e2e/**'],
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['packages/e2e/test/**/*.test.ts'],
          testTimeout: 120_000,
          // One browser at a time, and nothing beside it: sound is made in real time.
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

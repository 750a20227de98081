// npm run latency: how long our own way takes from microphone to loudspeaker, by stage, in Chromium with the loopback engine.
import { join } from 'node:path';
import { ROOT, run } from './steps.mjs';

const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
const args = ['run', '--project', 'e2e', 'packages/e2e/test/latency.test.ts', '--disable-console-intercept'];
const { code } = await run(process.execPath, [vitest, ...args], { env: { MOSHI_E2E: 'latency' } });
process.exit(code);

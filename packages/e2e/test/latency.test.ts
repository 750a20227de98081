import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { describeInChromium } from '../support/browser';
import { Conversation } from '../support/conversation';
import { stages, summary, table } from '../support/latency-table';
import { timedEngine } from '../support/timed-engine';
import type {} from './latency.entry';

const SECONDS = Number(process.env.MOSHI_LATENCY_SECONDS ?? 30);
const BURST_MS = 30;
/** Not a multiple of a frame, so that bursts fall everywhere in one. */
const EVERY_MS = 613;

/** Bursts of a tone, one every 613 ms. */
function bursts(): Float32Array {
  return Float32Array.from({ length: SECONDS * 24_000 }, (_, n) => {
    const ms = (n / 24) % EVERY_MS;
    return ms < BURST_MS ? 0.5 * Math.sin((2 * Math.PI * 1000 * n) / 24_000) : 0;
  });
}

/** Samples at which it becomes loud. */
function onsets(pcm: Float32Array): number[] {
  const found: number[] = [];
  for (const [n, sample] of pcm.entries()) {
    if (Math.abs(sample) > 0.1 && n - (found.at(-1) ?? -1e9) > 24 * 300) found.push(n);
  }
  return found;
}

describeInChromium('latency', () => {
  let conversation: Conversation;
  afterEach(() => conversation?.close());

  it.runIf(process.env.MOSHI_E2E === 'latency')(
    'of our own way, stage by stage (npm run latency)',
    async () => {
      const { engine, marks } = timedEngine();
      const entry = fileURLToPath(new URL('./latency.entry.ts', import.meta.url));
      conversation = await Conversation.open({ engine, says: bursts(), page: { entry } });
      const page = await conversation.page.evaluate((seconds) => measure(seconds), SECONDS + 1);
      const { captured, heard } = conversation.sound();
      const [said, played] = [onsets(captured), onsets(heard)];
      expect(played.length).toBeGreaterThan(said.length / 2);
      const lags = said.flatMap((at) => {
        const answer = played.find((later) => later > at);
        return answer === undefined || answer - at > 24 * EVERY_MS ? [] : [(answer - at) / 24];
      });
      console.log(
        [
          table([...stages(page, marks), summary('**microphone node to loudspeaker node, in all**', lags)]),
          `${lags.length} bursts, ${marks.pushes.length} frames; output latency ${page.output.outputMs.toFixed(0)} ms`,
        ].join('\n'),
      );
    },
    (SECONDS + 60) * 1000,
  );
});

import { afterEach, expect, it } from 'vitest';
import { describeInChromium, wantsAll } from '../support/browser';
import { Conversation } from '../support/conversation';
import { shareHeard } from '../support/words';

const MINUTES = 10;

describeInChromium('ten minutes of talk', () => {
  let conversation: Conversation;
  afterEach(() => conversation?.close());

  it.runIf(wantsAll)(
    'hold as little at the end as at the beginning (MOSHI_E2E=all)',
    async () => {
      conversation = await Conversation.open({ browser: { loop: true } });
      await conversation.talk();
      const { page } = conversation;
      const session = await page.context().newCDPSession(page);
      const heap = async () => {
        await session.send('HeapProfiler.collectGarbage');
        return (await session.send('Runtime.getHeapUsage')).usedSize;
      };
      await page.waitForTimeout(60_000);
      const before = await heap();
      const buffered: number[] = [];
      for (let minute = 1; minute < MINUTES; minute++) {
        await page.waitForTimeout(60_000);
        buffered.push(await page.evaluate(() => loop.session.speaker.playout.bufferedMs));
      }
      expect(await heap()).toBeLessThan(1.2 * before + 2_000_000);
      expect(Math.max(...buffered)).toBeLessThan(500);
      const { captured, heard } = conversation.sound();
      expect(shareHeard(captured, heard)).toBeGreaterThan(0.9);
      expect(shareHeard(captured, heard)).toBeLessThan(1.04);
      expect(conversation.problems).toEqual([]);
    },
    (MINUTES + 2) * 60_000,
  );
});

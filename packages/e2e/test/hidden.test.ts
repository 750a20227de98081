import { createServer, loopbackEngine } from '@moshi/server';
import { afterEach, expect, it } from 'vitest';
import { BareChromium } from '../support/bare-chromium';
import { describeInChromium, wantsAll } from '../support/browser';
import { LOOP_ENTRY } from '../support/conversation';
import { type HostedPage, hostPage } from '../support/page-host';

/** How long nobody looks, in seconds; browsers slow hidden pages down further after the first ten, and after a minute. */
const HIDDEN = wantsAll ? 90 : 12;

describeInChromium('a tab that nobody looks at', () => {
  let browser: BareChromium;
  let host: HostedPage;
  let close: (() => Promise<void>) | undefined;
  afterEach(async () => {
    await browser?.close();
    await host?.close();
    await close?.();
  });

  it('goes on talking and hearing', async () => {
    const server = await createServer({ engine: loopbackEngine(), port: 0 });
    close = () => server.close();
    host = await hostPage({ entry: LOOP_ENTRY, proxy: server.url });
    browser = await BareChromium.launch();
    const talking = await browser.open(host.url);
    await talking.until('Boolean(globalThis.loop)');
    await talking.evaluate('(async () => { await loop.connect(); await loop.talk(); })()');
    await browser.open('about:blank');
    expect(await talking.evaluate('document.visibilityState')).toBe('hidden');
    const figures = () =>
      talking.evaluate<{ at: number; sent: number; played: number; missed: number }>(`(() => {
        const { audioSentSeconds: sent, playout } = loop.session.metrics;
        return { at: performance.now() / 1000, sent, played: playout.playedSeconds, missed: playout.missedMs / 1000 };
      })()`);
    const before = await figures();
    await new Promise((resolve) => setTimeout(resolve, HIDDEN * 1000));
    const after = await figures();
    const passed = after.at - before.at;
    // Timers that hidden pages get once a second would leave a tenth of it.
    expect((after.sent - before.sent) / passed).toBeGreaterThan(0.9);
    expect((after.played - before.played) / passed).toBeGreaterThan(0.9);
    expect((after.missed - before.missed) / passed).toBeLessThan(0.1);
  });
});

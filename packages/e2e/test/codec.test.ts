import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeInChromium, launch } from '../support/browser';
import { type HostedPage, hostPage } from '../support/page-host';
import type {} from './codec.entry';

describeInChromium('the encoder of the microphone', () => {
  let browser: Browser;
  let host: HostedPage;
  let page: Page;
  beforeAll(async () => {
    browser = await launch();
    host = await hostPage({
      entry: fileURLToPath(new URL('./codec.entry.ts', import.meta.url)),
      csp: "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'",
    });
  });
  afterAll(async () => {
    await browser?.close();
    await host?.close();
  });
  beforeEach(async () => {
    page = await browser.newPage();
    await page.goto(host.url);
  });
  afterEach(() => page.close());

  it("is Chromium's own", async () => {
    const said = await page.evaluate(() => talk('auto', false));
    // One was for the test of it.
    expect(said).toMatchObject({ encoders: 2, errors: [] });
    expect(said.seconds).toBeCloseTo(4, 6);
    for (const { correlation, delayMs } of [said.first, said.last]) {
      expect(correlation).toBeGreaterThan(0.98);
      expect(delayMs).toBeLessThanOrEqual(10);
    }
  });

  it('is WebAssembly when asked for', async () => {
    const said = await page.evaluate(() => talk('wasm', false));
    expect(said).toMatchObject({ encoders: 0, errors: [] });
    expect(said.seconds).toBeCloseTo(4, 6);
    for (const { correlation } of [said.first, said.last]) expect(correlation).toBeGreaterThan(0.98);
  });

  it('changes in the middle of a call on the same stream', async () => {
    const said = await page.evaluate(() => talk('auto', true));
    expect(said.encoders).toBe(2);
    expect(said.errors).toEqual([expect.stringContaining('codec: the encoder failed')]);
    expect(said.seconds).toBeGreaterThan(3.8);
    for (const { correlation } of [said.first, said.last]) expect(correlation).toBeGreaterThan(0.98);
  });
});

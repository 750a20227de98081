import { fileURLToPath } from 'node:url';
import { rms } from '@moshi/protocol/audio';
import type { Browser } from 'playwright-core';
import { afterEach, expect, it } from 'vitest';
import { describeInChromium, launch } from '../support/browser';
import { type HostedPage, hostPage } from '../support/page-host';
import { tap } from '../support/tap';
import { micWav } from '../support/wav';

const entry = fileURLToPath(new URL('./harness.entry.ts', import.meta.url));

describeInChromium('the harness', () => {
  let browser: Browser;
  let host: HostedPage;
  afterEach(async () => {
    await browser?.close();
    await host?.close();
  });

  it('has a file as microphone, and hears what a page captures and plays, under a strict policy too', async () => {
    const beep = Float32Array.from({ length: 12_000 }, (_, n) => 0.4 * Math.sin((2 * Math.PI * 440 * n) / 24_000));
    browser = await launch({ microphone: await micWav(beep, { leadMs: 500 }) });
    host = await hostPage({ entry, csp: "default-src 'none'; script-src 'self'" });
    const page = await browser.newPage();
    const listening = await tap(page);
    await page.goto(host.url);
    await page.waitForFunction(() => document.title === 'played');
    const { captured, heard, sampleRate } = listening.stop();

    const begin = captured.findIndex((sample) => Math.abs(sample) > 0.1);
    expect(begin).toBeGreaterThan(0);
    expect(heard.findIndex((sample) => Math.abs(sample) > 0.05)).toBe(begin);
    const within = (pcm: Float32Array) => rms(pcm.subarray(begin + 0.1 * sampleRate, begin + 0.4 * sampleRate));
    expect(within(captured)).toBeCloseTo(0.4 / Math.SQRT2, 1);
    expect(within(heard) / within(captured)).toBeCloseTo(0.5, 2);
    expect(rms(captured.subarray(begin + 0.6 * sampleRate))).toBeLessThan(1e-3);
  });

  it('refuses the microphone until it is allowed', async () => {
    browser = await launch({ deny: true });
    host = await hostPage({});
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(host.url);
    const ask = () =>
      page.evaluate(() =>
        navigator.mediaDevices.getUserMedia({ audio: true }).then(
          (stream) => stream.getAudioTracks().length,
          (error: DOMException) => error.name,
        ),
      );
    expect(await ask()).toBe('NotAllowedError');
    await context.grantPermissions(['microphone']);
    expect(await ask()).toBe(1);
  });

  it('is a machine without a microphone when asked to be', async () => {
    browser = await launch({ fakeDevices: false });
    host = await hostPage({});
    const page = await browser.newPage();
    await page.goto(host.url);
    const name = await page.evaluate(() =>
      navigator.mediaDevices.getUserMedia({ audio: true }).then(
        () => 'allowed',
        (error: DOMException) => error.name,
      ),
    );
    expect(name).toBe('NotFoundError');
  });
});

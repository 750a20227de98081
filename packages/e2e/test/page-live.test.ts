import { readFile } from 'node:fs/promises';
import { compareEnvelopes, speechLike } from '@moshi/client/testing';
import { readWav, resample, rms } from '@moshi/protocol/audio';
import { loopbackEngine } from '@moshi/server';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FakeEngine } from '../../server/test/support/fake-engine';
import { builtPage, openApp } from '../../web/test/support/app';
import { openWindow } from '../../web/test/support/gallery';
import { describeInChromium, launch } from '../support/browser';
import { tap } from '../support/tap';
import { micWav } from '../support/wav';

let built: Awaited<ReturnType<typeof builtPage>>;
let browser: Browser;

/** The browser's own processing would change what is compared. */
const asItIs = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const keep = (page: Page, settings: object) =>
  page.addInitScript((text) => localStorage.setItem('moshi.settings', text), JSON.stringify(settings));

/** Left and right of a 16-bit WAV whose data is all that follows 44 bytes. */
function sidesOf(file: Buffer): Float32Array[] {
  const samples = new Int16Array(file.buffer, file.byteOffset + 44, (file.length - 44) >> 1);
  return [0, 1].map((side) =>
    Float32Array.from(
      samples.filter((_, i) => i % 2 === side),
      (s) => s / 0x8000,
    ),
  );
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
}

describeInChromium('the page and a real server', () => {
  beforeAll(async () => {
    const microphone = await micWav(speechLike(30, 7), { leadMs: 300 });
    [built, browser] = await Promise.all([builtPage(), launch({ microphone })]);
  });
  afterAll(async () => {
    await browser?.close();
    await built?.remove();
  });

  it('talk after one click and the browser’s question; what is said is heard, and saved on both sides', async () => {
    const app = await openApp(built.folder, loopbackEngine());
    const { page, context, complaints } = await openWindow(browser);
    const elsewhere: string[] = [];
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(app.url)) elsewhere.push(request.url());
    });
    const listening = await tap(page);
    await keep(page, asItIs);
    await page.goto(app.url);
    await page.getByRole('button', { name: 'Talk' }).click();
    await page.getByText('Live: just talk').waitFor();
    await page.getByRole('button', { name: 'Record' }).click();
    await until(() => {
      const { heard, sampleRate } = listening.read();
      return heard.length > 8 * sampleRate;
    });
    const saving = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Record' }).click();
    const download = await saving;
    const { captured, heard, sampleRate } = listening.stop();
    const [said, played] = [captured, heard].map((pcm) => resample(pcm, sampleRate, 24_000)) as [
      Float32Array,
      Float32Array,
    ];
    // Whether each word was heard is loop.test.ts's business: here, that there was sound, and that the file has the same.
    expect(rms(played)).toBeGreaterThan(0.01);

    expect(download.suggestedFilename()).toMatch(/^moshi-.*\.wav$/);
    const file = await readFile(await download.path());
    expect(readWav(file)).toMatchObject({ sampleRate: 24_000, channels: 2, bits: 16, format: 'pcm' });
    const [model, user] = sidesOf(file);
    expect(Math.min(rms(model!), rms(user!))).toBeGreaterThan(0.01);
    // The file begins later than the tap.
    expect(compareEnvelopes(model!, played, { maxDelayMs: 10_000 }).correlation).toBeGreaterThan(0.9);
    expect(compareEnvelopes(user!, said, { maxDelayMs: 10_000 }).correlation).toBeGreaterThan(0.9);

    await page.getByText('Answers after').waitFor();
    await page.getByRole('button', { name: 'End' }).click();
    await page.getByText('Ready when you are').waitFor();
    expect({ complaints, elsewhere }).toEqual({ complaints: [], elsewhere: [] });
    await context.close();
    await app.close();
  });

  it('light captions up as they are heard', async () => {
    const engine = new FakeEngine({ script: (step, pcm) => ({ pcm, text: step < 40 ? ` word${step}` : null }) });
    const app = await openApp(built.folder, engine);
    const { page, context, complaints } = await openWindow(browser);
    await page.goto(app.url);
    await page.evaluate(() => {
      // Whether a word was ever heard before it came, or lost its light again.
      const seen = new Map<string, string[]>();
      Object.assign(globalThis, { seen });
      new MutationObserver(() => {
        for (const word of document.querySelectorAll<HTMLElement>('.word')) {
          const states = seen.get(word.textContent!) ?? [];
          if (states.at(-1) !== word.dataset.state) seen.set(word.textContent!, [...states, word.dataset.state!]);
        }
      }).observe(document.body, { subtree: true, childList: true, attributes: true });
    });
    await page.getByRole('button', { name: 'Talk' }).click();
    await page.locator('.word[data-state=heard]', { hasText: 'word39' }).waitFor();
    const seen = await page.evaluate(() => [
      ...(globalThis as unknown as { seen: Map<string, string[]> }).seen.values(),
    ]);
    expect(seen).toHaveLength(40);
    for (const states of seen) expect(['coming heard', 'heard']).toContain(states.join(' '));
    // A busy page may show one only when it is heard already.
    expect(seen.filter((states) => states[0] === 'coming').length).toBeGreaterThan(0);
    expect(complaints).toEqual([]);
    await context.close();
    await app.close();
  });

  it('speak a typed text at /test-voice', async () => {
    const app = await openApp(built.folder, new FakeEngine({ speaks: true }));
    const { page, context, complaints } = await openWindow(browser);
    await page.goto(`${app.url}/test-voice`);
    await page.getByLabel('Text for Moshi to say').fill('Jupiter is the largest planet.');
    await page.keyboard.press('Enter');
    await page.locator('.word[data-state=heard]', { hasText: 'planet.' }).waitFor();
    expect(await page.getByRole('status', { name: 'Moshi said' }).textContent()).toBe('Jupiter is the largest planet.');
    expect(complaints).toEqual([]);
    await context.close();
    await app.close();
  });

  it('wait in line, see the place, and begin when it is free', async () => {
    const app = await openApp(built.folder, loopbackEngine({ slots: 1 }));
    const first = await openWindow(browser);
    const second = await openWindow(browser);
    await first.page.goto(app.url);
    await first.page.getByRole('button', { name: 'Talk' }).click();
    await first.page.getByText('Live: just talk').waitFor();
    await second.page.goto(app.url);
    await second.page.getByRole('button', { name: 'Talk' }).click();
    await second.page.getByText('You are next in line').waitFor();
    await first.page.getByRole('button', { name: 'End' }).click();
    await second.page.getByText('Live: just talk').waitFor();
    expect(second.complaints).toEqual([]);
    await first.context.close();
    await second.context.close();
    await app.close();
  });
});

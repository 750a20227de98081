import { basename, dirname } from 'node:path';
import { type Engine, loadEngine } from '@moshi/engine-cuda';
import { rms } from '@moshi/protocol/audio';
import { createServer, loopbackEngine } from '@moshi/server';
import type { Browser } from 'playwright-core';
import { afterEach, expect, it } from 'vitest';
import { describeInChromium, launch } from '../support/browser';
import { speech } from '../support/conversation';
import { at24k, tap } from '../support/tap';
import { micWav } from '../support/wav';
import { findWords } from '../support/words';

// MOSHI_OFFICIAL_CLIENTS=FOLDER[,FOLDER…]: the web clients of the published servers, each built from its own sources
// (`npm install && npx vite build` in the folder `client` of its repository): the folders `dist`.
const given = process.env.MOSHI_OFFICIAL_CLIENTS;
const folders = given?.split(',') ?? ['none: MOSHI_OFFICIAL_CLIENTS'];
const nameOf = (folder: string) => basename(dirname(dirname(folder.replace(/\/$/, ''))));

describeInChromium('the published web client, with our server', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  /** Serves the client, presses Connect, and listens to the page for so long. */
  async function talk(folder: string, engine: Engine | ReturnType<typeof loopbackEngine>, seconds: number) {
    const server = await createServer({ engine, port: 0, staticDir: folder });
    closing.push(() => server.close());
    // It opens the microphone twice, and what it hears first is not sent.
    const browser: Browser = await launch({ microphone: await micWav(await speech(), { leadMs: 2500 }) });
    closing.push(() => browser.close());
    const page = await (await browser.newContext()).newPage();
    const ear = await tap(page);
    await page.goto(server.url);
    await page
      .getByRole('button', { name: /connect/i })
      .first()
      .click();
    await page.waitForTimeout(seconds * 1000);
    return { sound: at24k(ear.read()), text: (await page.textContent('body')) ?? '' };
  }

  it.skipIf(!given).for(folders)('plays back what was said, word for word: %s', async (folder) => {
    const { sound } = await talk(folder, loopbackEngine(), 13);
    // Its own player leaves sound out when the machine is busy, so how much speech there is in all says nothing.
    const words = findWords(sound.captured, sound.heard);
    expect(words.length, nameOf(folder)).toBeGreaterThan(4);
    for (const word of words) expect(word, nameOf(folder)).toMatchObject({ likeness: expect.closeTo(1, 0) });
  });

  it.skipIf(!given).for(folders)('plays the embedded model, and shows what it says: %s', async (folder) => {
    const engine = await loadEngine();
    closing.push(() => engine.close());
    const { sound, text } = await talk(folder, engine, 8);
    expect(rms(sound.heard), nameOf(folder)).toBeGreaterThan(1e-3);
    expect(text, nameOf(folder)).toMatch(/(\b[a-z]+ ){5}/);
  });
});

import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { type Look, openGallery, openWindow } from '../../web/test/support/gallery';
import { show, states } from '../../web/test/support/states';
import { chromiumPath, launch } from '../support/browser';

// MOSHI_SCREENSHOTS=1 makes the pictures of docs/page.md anew; =all every state, each way, into the folder MOSHI_SCREENSHOTS_TO.
const { MOSHI_SCREENSHOTS: wanted, MOSHI_SCREENSHOTS_TO: to } = process.env;
const documented = fileURLToPath(new URL('../../../docs/images/page/', import.meta.url));

const desk = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };
const narrow = { width: 320, height: 640 };

const pictures: readonly (readonly [state: string, size: Omit<Look, 'theme'>, theme: Look['theme']])[] = [
  ['live', desk, 'light'],
  ['live', phone, 'light'],
  ['live', phone, 'dark'],
  ['waiting', phone, 'light'],
  ['behind', phone, 'dark'],
  ['refused-microphone', phone, 'light'],
  ['text-mode-live', phone, 'dark'],
];

const every = states.flatMap(({ name }) =>
  [desk, phone, narrow].flatMap((size) => (['light', 'dark'] as const).map((theme) => [name, size, theme] as const)),
);

describe.skipIf(!wanted || !chromiumPath)('pictures of the page', () => {
  it('are taken', { timeout: 600_000 }, async () => {
    const folder = to ?? documented;
    await mkdir(folder, { recursive: true });
    const gallery = await openGallery();
    const browser = await launch();
    for (const [name, size, theme] of wanted === 'all' ? every : pictures) {
      const { page, context } = await openWindow(browser, { ...size, theme });
      await show(page, gallery.url, states.find((state) => state.name === name)!);
      // The ring and the bars take a moment to rise.
      await page.waitForTimeout(400);
      await page.screenshot({ path: `${folder}/${name}-${size.width}-${theme}.png` });
      await context.close();
    }
    await browser.close();
    await gallery.close();
  });
});

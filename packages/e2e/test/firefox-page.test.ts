import { writeFile } from 'node:fs/promises';
import { rms } from '@moshi/protocol/audio';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FakeEngine } from '../../server/test/support/fake-engine';
import { type App, builtPage, openApp } from '../../web/test/support/app';
import { speech } from '../support/conversation';
import { describeInFirefox } from '../support/firefox';
import { type Listener, openFirefox } from '../support/firefox-conversation';

// A folder for pictures of the page as Firefox draws it.
const { MOSHI_SCREENSHOTS_TO: pictures } = process.env;

describeInFirefox('the page in Firefox', () => {
  let built: Awaited<ReturnType<typeof builtPage>>;
  let listener: Listener;
  let app: App;
  beforeAll(async () => {
    [built, listener] = await Promise.all([builtPage(), openFirefox()]);
    // Says back what it hears, and counts aloud.
    let before = new Float32Array(1920);
    const script = (step: number, input: Float32Array) => {
      const pcm = before;
      before = input.slice();
      return { pcm, text: step < 30 ? ` word${step}` : null };
    };
    app = await openApp(built.folder, new FakeEngine({ script }));
  });
  afterAll(async () => {
    await listener?.close();
    await app?.close();
    await built?.remove();
  });

  it('talks after one click, shows what is said when it is heard, and has nothing to complain of', async () => {
    const { firefox, sound } = listener;
    const tab = await firefox.open(app.url);
    const ears = await sound.listen();
    const shows = (text: string) => tab.until(`document.body.innerText.includes('${text}')`);
    await shows('Ready when you are');
    await tab.click({ role: 'button', name: 'Talk' });
    await shows('Live: just talk');
    await sound.say(await speech(0, 3));
    await tab.until(
      `[...document.querySelectorAll('.word[data-state=heard]')].some((word) => /word29/.test(word.textContent))`,
    );
    const heard = async () => {
      while (rms(ears.read().heard) < 0.005) await new Promise((resolve) => setTimeout(resolve, 100));
    };
    await heard();
    ears.stop();
    for (const [theme, dark] of [
      ['light', 0],
      ['dark', 1],
    ] as const) {
      await firefox.set({ 'ui.systemUsesDarkTheme': dark });
      await tab.until(`document.documentElement.dataset.theme === '${theme}'`);
      for (const [width, height] of [
        [1280, 800],
        [390, 844],
      ] as const) {
        await tab.resize(width, height);
        // Nothing sticks out to the side.
        const [needed, there] = await tab.evaluate<number[]>(
          '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
        );
        expect(needed).toBe(there);
        if (pictures) await writeFile(`${pictures}/firefox-${width}-${theme}.png`, await tab.screenshot());
      }
    }
    await tab.click({ role: 'button', name: 'End' });
    await shows('Ready when you are');
    expect(tab.problems).toEqual([]);
    await tab.close();
  });
});

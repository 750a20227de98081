import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gallery, type Look, openGallery, openWindow } from '../../web/test/support/gallery';
import { type Fake, show, states } from '../../web/test/support/states';
import { describeInChromium, launch } from '../support/browser';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const looks: readonly Look[] = [
  { width: 1280, height: 800, theme: 'light' },
  { width: 390, height: 844, theme: 'dark' },
  { width: 320, height: 640, theme: 'light' },
  { width: 1280, height: 800, theme: 'dark' },
  // A phone on its side; a desk where text is four times as large.
  { width: 844, height: 390, theme: 'light' },
  { width: 320, height: 200, theme: 'dark' },
];

let gallery: Gallery;
let browser: Browser;

/** What the accessibility checker has to say: the rule, and where. */
async function complaintsOfAxe(page: Page): Promise<string[]> {
  // Evaluated by the browser's own tools, as the page's policy lets no script in.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(axeSource);
  // Colours are measured where they come to rest.
  await page.waitForFunction(() =>
    document.getAnimations().every(({ effect }) => effect?.getComputedTiming().iterations === Number.POSITIVE_INFINITY),
  );
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import('axe-core') };
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const { violations } = await axe.run({ runOnly: { type: 'tag', values: tags } });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`),
    );
  });
}

const fakeOf = (page: Page) => page.evaluateHandle(() => (globalThis as unknown as { fake: Fake }).fake);

describeInChromium('the page', () => {
  beforeAll(async () => {
    [gallery, browser] = await Promise.all([openGallery(), launch({ args: ['--force-color-profile=srgb'] })]);
  });
  afterAll(async () => {
    await browser?.close();
    await gallery?.close();
  });

  it.each(states)('is accessible, fits, keeps to its server and has nothing to complain of: $name', async (state) => {
    const { page, context, complaints } = await openWindow(browser);
    const elsewhere: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(gallery.url) && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url());
    });
    await show(page, gallery.url, state);
    for (const { theme, ...size } of looks) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: theme });
      await page.waitForFunction((shown) => document.documentElement.dataset.theme === shown, theme);
      expect({ size, theme, axe: await complaintsOfAxe(page) }).toEqual({ size, theme, axe: [] });
      // Nothing sticks out to the side.
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect({ size, width }).toEqual({ size, width: size.width });
      // What stands still leaves room for what is read.
      const still = await page.locator('.dock').evaluate((dock) => {
        return getComputedStyle(dock).position === 'sticky' ? dock.clientHeight / innerHeight : 0;
      });
      expect({ size, covered: still > 0.4 }).toEqual({ size, covered: false });
    }
    expect({ complaints, elsewhere }).toEqual({ complaints: [], elsewhere: [] });
    await context.close();
  });

  it('is used from the keyboard alone, from opening it to hanging up', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states[0]!);
    const focused = () =>
      page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent);
    /** Tab until the focus is on what has this name; within a page's worth of stops. */
    const tabTo = async (name: RegExp) => {
      for (let i = 0; i < 40; i++) {
        if (name.test((await focused()) ?? '')) return;
        await page.keyboard.press('Tab');
      }
      throw new Error(`Tab does not come to ${name}: ${await focused()}`);
    };
    await tabTo(/^Settings$/);
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await tabTo(/^Talk/);
    await page.keyboard.press('Enter');
    await page.getByText('Live: just talk').waitFor();
    await tabTo(/^Mute/);
    await page.keyboard.press('Space');
    expect(await page.getByRole('button', { name: 'Mute' }).getAttribute('aria-pressed')).toBe('true');
    await page.getByLabel('Text for Moshi to say').focus();
    await page.keyboard.type('Hello there');
    await page.keyboard.press('Enter');
    const fake = await fakeOf(page);
    expect(await fake.evaluate(({ session }) => [session.said, session.microphone.muted])).toEqual([
      ['Hello there'],
      true,
    ]);
    await page.keyboard.press('Shift+Tab');
    for (let i = 0; i < 40 && !/End/.test((await focused()) ?? ''); i++) await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Enter');
    await page.getByText('Ready when you are').waitFor();
    expect(await focused()).toMatch(/^Talk/);
    await context.close();
  });

  it('keeps the keyboard where it goes on: after a banner’s button, and from a first text to the next', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states.find(({ name }) => name === 'foreign-server')!);
    await page.getByRole('button', { name: 'Yes, I trust it' }).focus();
    await page.keyboard.press('Enter');
    await page.locator('.talk-button:focus').waitFor();
    await show(page, gallery.url, { name: 'held', start: { hold: true } });
    await page.getByLabel('Text for Moshi to say').focus();
    await page.keyboard.type('One.');
    await page.keyboard.press('Enter');
    await page.getByText('Connecting').waitFor();
    const fake = await fakeOf(page);
    await page.waitForFunction(() => (globalThis as unknown as { fake: Fake }).fake.options !== undefined);
    await fake.evaluate((one) => one.open());
    await page.getByText('Live: just type').waitFor();
    await page.keyboard.type('Two.');
    await page.keyboard.press('Enter');
    expect(await fake.evaluate(({ session }) => session.said)).toEqual(['One.', 'Two.']);
    await context.close();
  });

  it('keeps a text that no call could be begun with', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, { name: 'none', start: states.find(({ name }) => name === 'unreachable')!.start });
    await page.getByLabel('Text for Moshi to say').fill('Something long.');
    await page.keyboard.press('Enter');
    await page.getByText('The server does not answer').waitFor();
    expect(await page.getByLabel('Text for Moshi to say').inputValue()).toBe('Something long.');
    await context.close();
  });

  it('has banners read out when they come, and not whenever their figures move', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states.find(({ name }) => name === 'behind')!);
    const banner = page.locator('[role=status][aria-atomic=false] > [data-notice=behind]');
    await banner.locator('[aria-live=off]', { hasText: '2.4 s' }).waitFor();
    expect(await banner.locator(':scope :not([aria-live=off]):not(:has(*))').allTextContents()).toEqual([
      'This machine cannot keep up',
    ]);
    await context.close();
  });

  it('asks before it goes while something is recorded, and only then', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states.find(({ name }) => name === 'muted-recording')!);
    const asked = page.waitForEvent('dialog');
    await page.close({ runBeforeUnload: true });
    const question = await asked;
    expect(question.type()).toBe('beforeunload');
    await question.dismiss();
    await page.getByRole('button', { name: 'Record' }).click();
    await page.getByRole('link', { name: 'Save recording' }).waitFor();
    const gone = page.waitForEvent('close');
    await page.close({ runBeforeUnload: true });
    await gone;
    await context.close();
  });

  it('asks for the microphone before it takes a place at the server', async () => {
    const { page, context } = await openWindow(browser);
    await page.addInitScript(() => {
      const media = navigator.mediaDevices;
      const ask = media.getUserMedia.bind(media);
      let allow = () => {};
      Object.assign(globalThis, { allow: () => allow() });
      media.getUserMedia = async (wanted) => {
        await new Promise<void>((resolve) => {
          allow = resolve;
        });
        return ask(wanted);
      };
    });
    await show(page, gallery.url, states[0]!);
    await page.getByRole('button', { name: 'Talk' }).click();
    await page.getByText('Allow the microphone').waitFor();
    const fake = await fakeOf(page);
    expect(await fake.evaluate(({ url }) => url)).toBe('');
    await page.evaluate(() => (globalThis as unknown as { allow(): void }).allow());
    await page.getByText('Live: just talk').waitFor();
    expect(await fake.evaluate(({ url }) => url)).toBe(`${gallery.url.replace('http', 'ws')}/api/chat`);
    await context.close();
  });

  it('sends the persona and the sampling that were chosen, and remembers them', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states[0]!);
    await page.getByLabel('Voice', { exact: true }).selectOption('NATM1');
    await page.getByRole('button', { name: 'Companion' }).click();
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByLabel('Text choices').fill('100');
    await page.getByLabel('Seed').fill('7');
    await page.keyboard.press('Escape');
    await page.reload();
    await page.getByRole('button', { name: 'Talk' }).click();
    await page.getByText('Live: just talk').waitFor();
    const fake = await fakeOf(page);
    const { voice, prompt, textTopK, seed, audioTopK } = await fake.evaluate(({ options }) =>
      JSON.parse(JSON.stringify(options)),
    );
    expect({ voice, prompt, textTopK, seed, audioTopK }).toEqual({
      ...{
        voice: 'NATM1',
        prompt: 'You enjoy having a good conversation.',
        textTopK: 100,
        seed: 7,
        audioTopK: undefined,
      },
    });
    await context.close();
  });

  it('lights words up when they are heard, and strikes out those an interruption took', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states[0]!);
    await page.getByRole('button', { name: 'Talk' }).click();
    await page.getByText('Live: just talk').waitFor();
    const fake = await fakeOf(page);
    const stateOf = () =>
      page.locator('.word').evaluateAll((words) => words.map((word) => (word as HTMLElement).dataset.state));
    await fake.evaluate(({ session }) => {
      for (const [i, text] of [' One', ' two', ' three.'].entries()) session.emit('text', { text, time: i });
    });
    await page.getByText('three.').waitFor();
    expect(await stateOf()).toEqual(['coming', 'coming', 'coming']);
    await fake.evaluate(({ session }) => session.speaker.emit('word', { text: 'two', time: 1 }));
    await page.locator('.word[data-newest]', { hasText: 'two' }).waitFor();
    expect(await stateOf()).toEqual(['heard', 'heard', 'coming']);
    await page.getByRole('button', { name: 'Hush' }).click();
    await page.locator('.word[data-state=skipped]').waitFor();
    expect(await stateOf()).toEqual(['heard', 'heard', 'skipped']);
    expect(await fake.evaluate(({ session }) => session.interrupted)).toBe(1);
    await context.close();
  });

  it('keeps this server’s key and settings from another one, and asks before it connects there', async () => {
    const { page, context } = await openWindow(browser);
    await page.addInitScript(() => {
      localStorage.setItem('moshi.settings', JSON.stringify({ voice: 'NATF0', prompt: 'My secret role.' }));
    });
    const foreign = states.find(({ name }) => name === 'foreign-server')!;
    await show(page, gallery.url, { ...foreign, path: `${foreign.path}&key=secret` });
    expect(new URL(page.url()).searchParams.has('key')).toBe(false);
    expect(await page.getByRole('button', { name: /^Talk/ }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Yes, I trust it' }).click();
    await page.getByRole('button', { name: /^Talk/ }).click();
    await page.getByText('Live: just talk').waitFor();
    const fake = await fakeOf(page);
    const [url, options] = await fake.evaluate(({ url, options }) => [url, JSON.stringify(options)]);
    expect(url).toBe('ws://gpu.example.com:8998/api/chat');
    expect(options).not.toMatch(/secret|NATF0/);
    await context.close();
  });

  it('uses the key of its address, and takes it out of the address bar', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, { name: 'key', path: '/?key=secret' });
    expect(page.url()).toBe(`${gallery.url}/`);
    await page.getByRole('button', { name: 'Talk' }).click();
    await page.getByText('Live: just talk').waitFor();
    const fake = await fakeOf(page);
    expect(await fake.evaluate(({ url }) => url)).toContain('/api/chat?key=secret');
    await context.close();
  });

  it('goes on by typing when the microphone is refused, and takes it back in later', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states.find(({ name }) => name === 'refused-microphone')!);
    await page.getByRole('button', { name: 'Go on by typing' }).click();
    await page.getByText('Live: just type').waitFor();
    const fake = await fakeOf(page);
    expect(await fake.evaluate(({ session }) => session.microphone.options)).toEqual({ source: 'silence' });
    await page.getByRole('button', { name: 'Use microphone' }).click();
    await page.getByText('Live: just talk').waitFor();
    expect(await fake.evaluate(({ session }) => session.microphone.options)).toMatchObject({ source: 'device' });
    await context.close();
  });

  it('turns the sound on with a click where the browser wants one', async () => {
    const { page, context } = await openWindow(browser);
    await show(page, gallery.url, states.find(({ name }) => name === 'blocked')!);
    await page.getByRole('button', { name: 'Turn the sound on' }).click();
    await page.locator('[data-notice=blocked]').waitFor({ state: 'detached' });
    await context.close();
  });

  it('says a text of /test-voice with one press of Enter, without asking for a microphone', async () => {
    const { page, context } = await openWindow(browser);
    await page.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('nobody asked for this'));
    });
    await show(page, gallery.url, states.find(({ name }) => name === 'text-mode')!);
    await page.keyboard.type('Jupiter is large.');
    await page.keyboard.press('Enter');
    await page.getByText('Live: just type').waitFor();
    const fake = await fakeOf(page);
    expect(await fake.evaluate(({ session }) => session.said)).toEqual(['Jupiter is large.']);
    await context.close();
  });

  it('goes dark when the system does, and stays as it was chosen', async () => {
    const { page, context } = await openWindow(browser, { theme: 'dark' });
    await show(page, gallery.url, states[0]!);
    const shows = (theme: string) => page.locator(`html[data-theme=${theme}]`).waitFor();
    await shows('dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await shows('light');
    await page.getByRole('button', { name: 'Use dark colours' }).click();
    await shows('dark');
    await page.reload();
    await shows('dark');
    await context.close();
  });
});

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gallery, openGallery, openWindow } from '../../web/test/support/gallery';
import { show, states } from '../../web/test/support/states';
import { describeInChromium, launch } from '../support/browser';

/** What a screen reader says. */
const names = {
  button: [
    ...['Talk', 'Talk to gpu.example.com:8998', 'Start', 'Cancel', 'End'],
    ...['Mute the microphone', 'Use microphone', 'Hush: Moshi stops talking', 'Record both sides', 'Say it'],
    ...['Astronaut', 'Companion', 'Help desk', 'Teacher'],
    ...['Use dark colours', 'Settings', 'Close settings', 'As the makers chose'],
    ...['Turn the sound on', 'Go on by typing', 'Use it', 'Yes, I trust it', 'All right', 'Dismiss'],
  ],
  textbox: ['Text for Moshi to say', 'Role in your own words', 'Key'],
  combobox: ['Voice', 'Microphone', 'Loudspeaker'],
  meter: ['Moshi', 'You'],
  slider: [
    'Volume',
    'Text temperature Higher: more surprising words.',
    'Text choices How many words are considered each time.',
    'Voice temperature Higher: a livelier, less even voice.',
    'Voice choices How many sounds are considered each time.',
    'Patience Lower: talks more. Higher: listens more.',
    'Repetition penalty Higher: repeats itself less.',
    'Repetition memory How many words back it looks for repetitions.',
  ],
  spinbutton: ['Seed The same one gives the same answers to the same sound.'],
  checkbox: ['Take out what the loudspeaker plays', 'Take out noise', 'Even out loudness'],
  radio: ['As the system', 'Light', 'Dark'],
};

/** A line of Playwright's snapshot: what can be used, or has a value to be read, by its role and name. */
const CONTROL =
  /^\s*- '?(button|checkbox|combobox|link|meter|radio|slider|spinbutton|textbox)(?: "((?:[^"\\]|\\.)*)")?/;

/** All of them on the page as it is. Its checker lets placeholders and tooltips pass as names: here they are not there. */
async function controls(page: Page): Promise<string[]> {
  await page.evaluate(() => {
    for (const name of ['placeholder', 'title']) {
      for (const element of document.querySelectorAll(`[${name}]`)) element.removeAttribute(name);
    }
  });
  const lines = (await page.locator('body').ariaSnapshot()).split('\n');
  return lines.flatMap((line) => {
    const [, role, name] = CONTROL.exec(line) ?? [];
    return role ? [`${role}: ${(name ?? 'NO NAME').replace(/ \d+:\d\d$/, '')}`] : [];
  });
}

describeInChromium('the page, for those who cannot see it', () => {
  let gallery: Gallery;
  let browser: Browser;
  beforeAll(async () => {
    [gallery, browser] = await Promise.all([openGallery(), launch()]);
  });
  afterAll(async () => {
    await browser?.close();
    await gallery?.close();
  });

  it('names everything that can be used, in one state or another', async () => {
    const found = new Set<string>();
    for (const state of states) {
      const { page, context } = await openWindow(browser);
      await show(page, gallery.url, state);
      for (const control of await controls(page)) found.add(control);
      await context.close();
    }
    const expected = Object.entries(names).flatMap(([role, all]) => all.map((name) => `${role}: ${name}`));
    expect([...found].sort()).toEqual(expected.sort());
  });
});

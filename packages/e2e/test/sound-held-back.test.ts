import { fileURLToPath } from 'node:url';
import { tone } from '@moshi/client/testing';
import type { Browser } from 'playwright-core';
import { afterEach, expect, it } from 'vitest';
import { describeInChromium, launch } from '../support/browser';
import { WORKLETS } from '../support/conversation';
import { type HostedPage, hostPage } from '../support/page-host';
import type {} from './sound.entry';

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const entry = file('./sound.entry.ts');
const toNumbers = (pcm: Float32Array) => Array.from(pcm, (sample) => Math.round(sample * 0x7fff));

describeInChromium('sound that Chromium holds back', () => {
  let browser: Browser;
  let host: HostedPage;
  afterEach(async () => {
    await browser?.close();
    await host?.close();
  });
  const open = async (options: Parameters<typeof hostPage>[0] = {}) => {
    host = await hostPage({ entry, ...options });
    const page = await browser.newPage();
    await page.goto(host.url);
    return page;
  };

  it('is blocked until somebody clicks, and then plays what comes from there on', async () => {
    browser = await launch({ autoplay: 'gesture' });
    host = await hostPage({ entry });
    const page = await browser.newPage();
    const said = page.waitForEvent('console', (message) => message.type() === 'log');
    await page.goto(`${host.url}#speaker`);
    expect((await said).text()).toBe('blocked, 0 s');
    await page.mouse.click(5, 5);
    await page.waitForFunction(() => sound.speaker.state.status === 'playing');
    const played = await page.evaluate(
      async (samples) => {
        await sound.speak(samples);
        await pause(300);
        return sound.speaker.playout.playedSeconds;
      },
      toNumbers(tone(300, 0.8)),
    );
    expect(played).toBeGreaterThan(0.7);
    expect(played).toBeLessThan(0.85);
  });

  it('is refused with the cure, and allowed later', async () => {
    browser = await launch({ deny: true });
    const page = await open();
    const start = () =>
      page.evaluate(() =>
        sound.microphone.start().then(
          () => 'on',
          ({ code, message }) => `${code}: ${message}`,
        ),
      );
    expect(await start()).toContain('permission-denied: the microphone was refused: allow it for this site');
    await page.context().grantPermissions(['microphone']);
    expect(await start()).toBe('on');
  });

  it('has no device to be found', async () => {
    browser = await launch({ fakeDevices: false });
    const page = await open();
    const said = await page.evaluate(() =>
      new Sound({}).microphone.start().catch(({ code, message }) => `${code}: ${message}`),
    );
    expect(said).toBe('no-device: there is no microphone on this machine: connect one and try again');
  });

  it('runs under a policy that forbids blob: and data:, from files, and says so without them', async () => {
    browser = await launch();
    const page = await open({ csp: "default-src 'none'; script-src 'self'", files: WORKLETS });
    const said = await page.evaluate(
      async (samples) => {
        const forbidden = await new Sound({}).speaker.start().catch((error) => error.message);
        const absent = await new Sound({ worklets: '/nowhere' }).speaker.start().catch((error) => error.message);
        const sound = new Sound({ worklets: '/worklets' });
        await sound.speaker.start();
        await sound.microphone.start();
        const recording = await sound.audio.record();
        await sound.speak(samples);
        await pause(300);
        const { playedSeconds } = sound.speaker.playout;
        return { forbidden, absent, playedSeconds, sent: sound.sentSeconds, recorded: (await recording.stop()).length };
      },
      toNumbers(tone(300, 0.8)),
    );
    expect(said.forbidden).toContain('pass their address as audio.worklets');
    expect(said.absent).toContain('the worklet /nowhere/playout.js could not be loaded');
    expect(said.playedSeconds).toBeGreaterThan(0.7);
    expect(said.sent).toBeGreaterThan(0.5);
    expect(said.recorded).toBeGreaterThan(24_000 * 4 * 0.5);
  });

  it('runs under a policy that allows data: alone', async () => {
    browser = await launch();
    const page = await open({ csp: "default-src 'none'; script-src 'self' data:" });
    const played = await page.evaluate(
      async (samples) => {
        await sound.speaker.start();
        await sound.speak(samples);
        await pause(300);
        return sound.speaker.playout.playedSeconds;
      },
      toNumbers(tone(300, 0.8)),
    );
    expect(played).toBeGreaterThan(0.7);
  });
});

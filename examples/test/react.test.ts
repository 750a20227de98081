import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createServer, type Server } from '@moshi/server';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { describeInChromium, launch } from '../../packages/e2e/support/browser';
import { type HostedPage, hostPage } from '../../packages/e2e/support/page-host';
import { type SpeakingEngine, speakingEngine } from './support/speaking-engine';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

describeInChromium('react, built to files that a server serves', () => {
  it('talks by the devices of the browser', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-react-'));
    const build = ['--import', 'tsx', here('../react/build.ts'), folder];
    await promisify(execFile)(process.execPath, build, { cwd: here('../..') });
    const server = await createServer({ engine: speakingEngine(), port: 0, staticDir: folder });
    const browser = await launch();
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.getByRole('button', { name: 'Talk' }).click();
    await page.getByRole('status').filter({ hasText: 'ready' }).waitFor();
    await page.getByLabel('Text for the model to say').fill('Good day.');
    await page.getByRole('button', { name: 'Say' }).click();
    await page.getByText('Good day.').waitFor();
    await browser.close();
    await server.close({ graceMs: 0 });
    await rm(folder, { recursive: true });
  });
});

describeInChromium('react in StrictMode', () => {
  let engine: SpeakingEngine;
  let server: Server;
  let site: HostedPage;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    engine = speakingEngine();
    server = await createServer({ engine, port: 0 });
    site = await hostPage({ entry: here('support/react-page.tsx'), proxy: server.url });
    page = await browser.newPage();
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    await page.goto(site.url);
  });
  afterEach(async () => {
    await page.close();
    await site.close();
    await server.close({ graceMs: 0 });
    expect(problems.splice(0)).toEqual([]);
  });

  const status = (text: string) => page.getByRole('status').filter({ hasText: text }).waitFor();
  const devices = () => page.evaluate(() => [window.audio.openInputs, window.audio.openOutputs]);

  it('holds one session, though everything is mounted twice, and none once it is gone', async () => {
    await page.evaluate(() => Object.assign(window, { gone: window.show('talk') }));
    await status('ready');
    await vi.waitUntil(() => server.sessions.size === 1, 20_000);
    await page.waitForFunction(() => window.audio.openInputs === 1 && window.audio.openOutputs === 1);
    await page.evaluate(() => (window as unknown as { gone(): void }).gone());
    await vi.waitUntil(() => server.sessions.size === 0, 20_000);
    await page.waitForFunction(() => window.audio.openInputs + window.audio.openOutputs === 0);
  });

  it('holds none when it is gone before it was there', async () => {
    await page.evaluate(() => window.show('talk')());
    // The next one is there later than whatever the first could have left.
    await page.evaluate(() => void window.show('talk'));
    await status('ready');
    await page.waitForFunction(() => window.audio.openInputs === 1 && window.audio.openOutputs === 1);
    await vi.waitUntil(() => server.sessions.size === 1, 20_000);
    expect(await devices()).toEqual([1, 1]);
  });

  it('talks, shows what is heard, mutes and hangs up', async () => {
    await page.evaluate(() => void window.show('app'));
    await page.getByRole('button', { name: 'Talk' }).click();
    await status('ready');
    await page.getByLabel('Text for the model to say').fill('Your order has shipped.');
    await page.getByRole('button', { name: 'Say' }).click();
    await page.getByText('Your order has shipped.').waitFor();
    await page.waitForFunction(() => document.querySelector('meter')!.value > 0.5);
    await page.getByRole('button', { name: 'Mute' }).click();
    await page.getByRole('button', { name: 'Mute', pressed: true }).waitFor();
    await page.waitForFunction(() => document.querySelector('meter')!.value === 0);
    await page.getByRole('button', { name: 'Interrupt' }).click();
    await vi.waitUntil(() => engine.commands.includes('interrupt'), 20_000);
    await page.getByRole('button', { name: 'Hang up' }).click();
    await vi.waitUntil(() => server.sessions.size === 0, 20_000);
    await page.getByRole('button', { name: 'Talk' }).click();
    await status('ready');
    expect(await page.getByText('Your order').count()).toBe(0);
  });

  it('says why there is no conversation', async () => {
    await page.evaluate(() => window.audio.deny());
    await page.evaluate(() => void window.show('talk'));
    await status('the microphone was refused');
  });
});

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loopbackEngine } from '@moshi/server';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { Access } from '../../../server/src/access';
import type { EngineInfo } from '../../../server/src/engine';
import { openPage } from '../../../server/src/http/page-files';
import { Routes } from '../../../server/src/http/routes';
import { buildPage } from '../../build.mjs';

/** The page over a client that a test moves from outside, served as the server serves it. */
export interface Gallery {
  readonly url: string;
  close(): Promise<void>;
}

const personaPlex: EngineInfo = {
  ...loopbackEngine().info,
  model: 'nvidia/personaplex-7b-v1',
  dialect: 'personaplex',
  trained: true,
};

export async function openGallery(info: Partial<EngineInfo> = {}): Promise<Gallery> {
  const out = await mkdtemp(join(tmpdir(), 'moshi-gallery-'));
  const client = fileURLToPath(new URL('./fake-client.ts', import.meta.url));
  await buildPage({ out, alias: { '@moshi/client': client } });
  const engine = { info: { ...personaPlex, ...info } };
  const readiness = () => ({ ready: true, slots: 1, live: 0, waiting: 0 });
  const routes = new Routes(engine, new Access(), readiness, { page: await openPage(out) });
  const http = createServer((request, response) => routes.answer(request, response));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    close: async () => {
      http.closeAllConnections();
      http.close();
      await rm(out, { recursive: true, force: true });
    },
  };
}

/** How a window looks. */
export interface Look {
  readonly width: number;
  readonly height: number;
  readonly theme: 'light' | 'dark';
}

/** A window on the gallery, and what went wrong in it. */
export interface Window {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly complaints: string[];
}

/** Opens a window; every error of its console and every violation of its policy is collected. */
export async function openWindow(browser: Browser, look: Partial<Look> = {}): Promise<Window> {
  const { width = 1280, height = 800, theme = 'light' } = look;
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: theme,
    permissions: ['microphone'],
    reducedMotion: 'no-preference',
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.exposeFunction('complain', (text: string) => complaints.push(text));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      (globalThis as unknown as { complain(text: string): void }).complain(`${violatedDirective} ${blockedURI}`),
    );
  });
  return { page, context, complaints };
}

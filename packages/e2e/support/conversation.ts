import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ConnectOptions, MicrophoneOptions } from '@moshi/client';
import { readWav } from '@moshi/protocol/audio';
import { createServer, type Engine, loopbackEngine, type Server, type ServerOptions } from '@moshi/server';
import type { Browser, Page } from 'playwright-core';
import { type LaunchOptions, launch } from './browser';
import { type Chaos, chaosProxy } from './chaos-proxy';
import type { LoopEvent } from './loop.entry';
import { type HostedPage, type HostOptions, hostPage } from './page-host';
import { at24k, type Tap, type TappedSound, tap } from './tap';
import { micWav } from './wav';

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The page that talks. */
export const LOOP_ENTRY = file('./loop.entry.ts');

/** Sound as the device gives it: what makes calls sound better changes the loudness that is compared. */
export const RAW: MicrophoneOptions = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** The worklets, for {@link HostOptions.files}: `audio: { worklets: '/worklets' }` finds them. */
export const WORKLETS: Readonly<Record<string, string>> = Object.fromEntries(
  ['capture', 'playout', 'recorder'].map((name) => [
    `/worklets/${name}.js`,
    file(`../../client/src/worklets/${name}.ts`),
  ]),
);

/** What a careful page allows: its own files, and WebAssembly for the codecs. */
export const STRICT = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";

/** Silence before it, in which everything begins. */
const LEAD_MS = 500;

/** Somebody who speaks: seconds `from` to `to` of a recording, 24 kHz mono. */
export async function speech(from = 0, to = 6): Promise<Float32Array> {
  const { pcm } = readWav(await readFile(file('../../../examples/audio/call-desk-24k.wav')));
  return pcm.subarray(from * 24_000, to * 24_000);
}

export interface ConversationOptions {
  /** Default: the loopback engine. */
  readonly engine?: Engine;
  readonly server?: Omit<ServerOptions, 'engine' | 'port' | 'host'>;
  readonly page?: HostOptions;
  readonly browser?: LaunchOptions;
  /** What the microphone hears, 24 kHz mono; default {@link speech}. */
  readonly says?: Float32Array;
}

/** A real server, a network that may fail, a page with the client on it in Chromium, and an ear at its loudspeaker. */
export class Conversation {
  readonly browser: Browser;
  readonly page: Page;
  readonly chaos: Chaos;
  readonly host: HostedPage;
  /** What the page's console called an error, and errors nobody caught. */
  readonly problems: string[] = [];
  server: Server;
  readonly #options: ConversationOptions;
  readonly #tap: Tap;
  readonly #saysMs: number;

  private constructor(
    options: ConversationOptions,
    parts: Pick<Conversation, 'browser' | 'page' | 'chaos' | 'host' | 'server'>,
    ear: Tap,
    saysMs: number,
  ) {
    this.#options = options;
    this.#tap = ear;
    this.#saysMs = saysMs;
    this.browser = parts.browser;
    this.page = parts.page;
    this.chaos = parts.chaos;
    this.host = parts.host;
    this.server = parts.server;
    this.page.on('pageerror', (error) => this.problems.push(String(error)));
    this.page.on('console', (message) => {
      // Chromium reports every connection that ends badly, which is what many tests are about.
      if (message.type() === 'error' && !/WebSocket connection/.test(message.text()))
        this.problems.push(message.text());
    });
  }

  static async open(options: ConversationOptions = {}): Promise<Conversation> {
    const server = await serve(options);
    const chaos = await chaosProxy({ port: portOf(server) });
    const host = await hostPage({ entry: LOOP_ENTRY, ...options.page, proxy: chaos.url });
    const says = options.says ?? (await speech());
    const microphone = await micWav(says, { leadMs: LEAD_MS });
    const browser = await launch({ microphone, ...options.browser });
    const page = await (await browser.newContext()).newPage();
    const ear = await tap(page);
    const conversation = new Conversation(options, { browser, page, chaos, host, server }, ear, says.length / 24);
    await page.goto(host.url);
    return conversation;
  }

  /** Connects to the server, or to the one at `url`, and starts speaker and microphone. */
  async talk({
    connect = {},
    url,
    microphone = RAW,
  }: {
    connect?: ConnectOptions;
    url?: string;
    microphone?: MicrophoneOptions;
  } = {}): Promise<void> {
    // What a page is given has to be data, which the types of options do not say.
    const asked = { connect, url } as unknown as { connect: object; url?: string };
    await this.page.evaluate((given) => loop.connect(given.connect, given.url), asked);
    await this.page.evaluate((asked) => loop.talk(asked), microphone as never);
  }

  /** Resolves when this event has come so often. */
  async event(name: string, times = 1): Promise<LoopEvent> {
    await this.page.waitForFunction(
      ([wanted, count]) => loop.events.filter((event) => event.name === wanted).length >= Number(count),
      [name, times] as const,
      { polling: 50 },
    );
    const events = await this.events(name);
    return events[times - 1]!;
  }

  async events(name: string): Promise<LoopEvent[]> {
    return this.page.evaluate((wanted) => loop.events.filter((event) => event.name === wanted), name);
  }

  /** What was captured and heard so far, 24 kHz mono, on one clock. */
  sound(): Pick<TappedSound, 'captured' | 'heard'> {
    return at24k(this.#tap.read());
  }

  /** Resolves two seconds after the microphone has said all it has to say, however slow the machine. */
  async spoken(): Promise<void> {
    const seconds = (LEAD_MS + this.#saysMs) / 1000;
    // By the page's own count: to look at the sound would hold up the server, which runs here as well.
    await this.page.waitForFunction((all) => loop.session.metrics.audioSentSeconds > all, seconds, { polling: 200 });
    await this.page.waitForTimeout(2000);
  }

  /** The server goes, as a machine that is switched off, and another one comes in its place that remembers nothing. */
  async replaceServer(): Promise<void> {
    const port = portOf(this.server);
    this.chaos.refuse(true);
    this.chaos.cut();
    await this.server.close();
    this.server = await serve(this.#options, port);
    this.chaos.refuse(false);
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.host.close();
    await this.chaos.close();
    await this.server.close();
  }
}

/** The server of a conversation. */
export function serve(options: Pick<ConversationOptions, 'engine' | 'server'>, port = 0): Promise<Server> {
  return createServer({ ...options.server, engine: options.engine ?? loopbackEngine(), port });
}

export function portOf(server: Server): number {
  return Number(new URL(server.url).port);
}

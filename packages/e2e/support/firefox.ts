import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'vitest';
import { RemoteBrowser, type Tab, untilHolds } from './remote-browser';
import { hasSoundSystem, type SoundSystem } from './sound-system';
import { installTap, type TapBlock } from './tap-in-page';

const PATHS = [process.env.MOSHI_FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox'];

/** MOSHI_FIREFOX or Debian's; undefined where there is none. */
export const firefoxPath: string | undefined = PATHS.find((path) => path && existsSync(path));

/** A test talks to nobody but its own server, and Firefox asks the network for much by itself. */
const QUIET = {
  'app.normandy.enabled': false,
  'app.update.disabledForTesting': true,
  // A page that allows no pictures would be told so.
  'browser.chrome.site_icons': false,
  'browser.region.network.url': '',
  'browser.safebrowsing.downloads.remote.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.safebrowsing.provider.mozilla.updateURL': '',
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.healthreport.uploadEnabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'dom.push.connection.enabled': false,
  'extensions.update.enabled': false,
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.dns.disablePrefetch': true,
  'services.settings.server': 'data:,#nothing',
  'toolkit.telemetry.server': 'data:,',
  'toolkit.telemetry.unified': false,
};

/** The last one lets tests change settings while it runs. */
const SWITCHES = ['--headless', '--no-remote', '--remote-debugging-port=0', '--remote-allow-system-access'];

/** What {@link Firefox.launch} starts. */
export interface FirefoxOptions {
  /** Where its microphone and loudspeakers are. */
  readonly sound: SoundSystem;
  /** Further settings, as about:config has them. */
  readonly prefs?: Prefs;
}

/** A tab of {@link Firefox}. */
export interface FirefoxTab extends Tab {
  /** Errors of its console, and violations of its policy. */
  readonly problems: readonly string[];
  goto(url: string): Promise<void>;
  /** Clicks on what has this role and name, when it is there; without, on the page. */
  click(target?: { readonly role: string; readonly name: string }): Promise<void>;
  /** Width and height of what the page has, in CSS pixels. */
  resize(width: number, height: number): Promise<void>;
  /** A PNG of what is seen. */
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

/** Firefox as its users have it, without a window: Playwright drives one of its own alone. Spoken to over WebDriver BiDi. */
export class Firefox {
  readonly #browser: RemoteBrowser;
  readonly #problems = new Map<string, string[]>();
  readonly #heard = new Map<string, (block: TapBlock) => void>();

  private constructor(browser: RemoteBrowser) {
    this.#browser = browser;
  }

  /** It asks nobody for the microphone, and plays sound when somebody clicked or is heard. */
  static async launch({ sound, prefs }: FirefoxOptions): Promise<Firefox> {
    const settings = { ...QUIET, 'media.navigator.permission.disabled': true, ...prefs };
    const lines = Object.entries(settings).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
    const browser = await RemoteBrowser.start({
      program: firefoxPath!,
      args: (folder) => {
        writeFileSync(join(folder, 'user.js'), lines.join(''));
        return [...SWITCHES, '--profile', folder, 'about:blank'];
      },
      ready: /WebDriver BiDi listening on (ws:\S+)/,
      path: '/session',
      env: sound.env,
    });
    const firefox = new Firefox(browser);
    await browser.send('session.new', { capabilities: {} });
    await browser.send('session.subscribe', { events: ['log.entryAdded', 'script.message'] });
    browser.on<LogEntry>('log.entryAdded', ({ level, text, source }) => {
      // Firefox reports every connection that ends badly, which is what many tests are about.
      if (level === 'error' && !/establish a connection|connection to .* was interrupted/.test(text ?? ''))
        firefox.#problems.get(source.context ?? '')?.push(text ?? '');
    });
    browser.on<Message>('script.message', ({ channel, data }) => firefox.#heard.get(channel)?.(JSON.parse(data.value)));
    return firefox;
  }

  /** Opens a tab, in front of the others. */
  async open(url: string, { before = [], heard }: TabOptions = {}): Promise<FirefoxTab> {
    const send = <T>(method: string, params: object) => this.#browser.send<T>(method, params);
    const { context } = await send<{ context: string }>('browsingContext.create', { type: 'tab' });
    const problems: string[] = [];
    this.#problems.set(context, problems);
    if (heard) {
      this.#heard.set(context, heard);
      const channel = { type: 'channel', value: { channel: context } };
      await send('script.addPreloadScript', {
        functionDeclaration: String(tellTap),
        arguments: [channel],
        contexts: [context],
      });
    }
    for (const script of [tellViolations, ...before, ...(heard ? [installTap] : [])]) {
      await send('script.addPreloadScript', { functionDeclaration: String(script), contexts: [context] });
    }
    const evaluate = async <T>(expression: string): Promise<T> => {
      // As text, since the protocol has a notation of its own for values.
      const asked = {
        expression: `(async () => JSON.stringify(await (${expression})))()`,
        target: { context },
        awaitPromise: true,
      };
      const said = await send<Evaluated>('script.evaluate', asked);
      if (said.type === 'exception') throw new Error(said.exceptionDetails.text);
      return said.result.value === undefined ? (undefined as T) : JSON.parse(said.result.value);
    };
    const tab: FirefoxTab = {
      problems,
      evaluate,
      until: (expression) => untilHolds({ evaluate }, expression),
      goto: async (address) => {
        await send('browsingContext.navigate', { context, url: address, wait: 'complete' });
      },
      click: async (target) => {
        const at = target
          ? { x: 0, y: 0, origin: { type: 'element', element: await locate(send, context, target) } }
          : { x: 5, y: 5 };
        const actions = [
          { type: 'pointerMove', ...at },
          { type: 'pointerDown', button: 0 },
          { type: 'pointerUp', button: 0 },
        ];
        await send('input.performActions', { context, actions: [{ type: 'pointer', id: 'mouse', actions }] });
      },
      resize: async (width, height) => {
        await send('browsingContext.setViewport', { context, viewport: { width, height } });
      },
      screenshot: async () => {
        const { data } = await send<{ data: string }>('browsingContext.captureScreenshot', { context });
        return Buffer.from(data, 'base64');
      },
      close: async () => {
        await send('browsingContext.close', { context });
      },
    };
    await tab.goto(url);
    return tab;
  }

  /** Changes settings, as about:config does. */
  async set(prefs: Prefs): Promise<void> {
    type Tree = { contexts: { context: string }[] };
    const { contexts } = await this.#browser.send<Tree>('browsingContext.getTree', { 'moz:scope': 'chrome' });
    for (const [name, value] of Object.entries(prefs)) {
      const kind = { string: 'String', number: 'Int', boolean: 'Bool' }[
        typeof value as 'string' | 'number' | 'boolean'
      ];
      await this.#browser.send('script.evaluate', {
        expression: `Services.prefs.set${kind}Pref(${JSON.stringify(name)}, ${JSON.stringify(value)})`,
        target: { context: contexts[0]!.context },
        awaitPromise: false,
      });
    }
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}

/** What is done to a tab before its page is there. */
export interface TabOptions {
  /** Run in its pages before their own scripts, and refer to nothing outside of themselves. */
  readonly before?: readonly (() => void)[];
  /** Taps the pages, see `installTap`; their servers have `ear.worklet.ts` at `/ear.js`. */
  readonly heard?: (block: TapBlock) => void;
}

interface Message {
  readonly channel: string;
  readonly data: { readonly value: string };
}

interface LogEntry {
  readonly level: string;
  readonly text: string | null;
  readonly source: { readonly context?: string };
}

type Prefs = Readonly<Record<string, string | number | boolean>>;

type Evaluated =
  | { readonly type: 'success'; readonly result: { readonly value?: string } }
  | { readonly type: 'exception'; readonly exceptionDetails: { readonly text: string } };

/** The first element with this role and name, when there is one. */
async function locate(
  send: <T>(method: string, params: object) => Promise<T>,
  context: string,
  value: object,
): Promise<{ sharedId: string }> {
  const asked = { context, locator: { type: 'accessibility', value } };
  for (;;) {
    const { nodes } = await send<{ nodes: { sharedId: string }[] }>('browsingContext.locateNodes', asked);
    if (nodes[0]) return { sharedId: nodes[0].sharedId };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Runs in the page, as what follows. */
function tellTap(send: (text: string) => void): void {
  Object.assign(globalThis, { moshiTapBlock: (block: TapBlock) => send(JSON.stringify(block)) });
}

function tellViolations(): void {
  document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    console.error(`${violatedDirective} ${blockedURI}`),
  );
}

/** As `describe` where there is a Firefox and a sound system for it; elsewhere its tests are skipped, and the line says why. */
export function describeInFirefox(name: string, tests: () => void): void {
  if (firefoxPath && hasSoundSystem) describe(name, tests);
  else {
    const why =
      'no Firefox or no PulseAudio: apt-get install firefox-esr pulseaudio pulseaudio-utils, or set MOSHI_FIREFOX';
    describe.skip(`${name} (${why})`, tests);
  }
}

import { chromiumPath, type LaunchOptions, switches } from './browser';
import { RemoteBrowser, type Tab, untilHolds } from './remote-browser';

/**
 * A Chromium as its users have it: Playwright switches off what browsers do to pages in the background, and tells every page
 * that it is in front. Spoken to over the DevTools protocol.
 */
export class BareChromium {
  readonly #browser: RemoteBrowser;

  private constructor(browser: RemoteBrowser) {
    this.#browser = browser;
  }

  static async launch(options: LaunchOptions = {}): Promise<BareChromium> {
    const own = ['--headless=new', '--remote-debugging-port=0', '--no-first-run'];
    const browser = await RemoteBrowser.start({
      program: chromiumPath!,
      args: (folder) => [...switches(options), ...own, `--user-data-dir=${folder}`, 'about:blank'],
      ready: /DevTools listening on (ws:\S+)/,
    });
    return new BareChromium(browser);
  }

  /** Opens a tab, in front of the others. */
  async open(url: string): Promise<Tab> {
    const send = <T>(method: string, params: object, more?: object) => this.#browser.send<T>(method, params, more);
    const { targetId } = await send<{ targetId: string }>('Target.createTarget', { url });
    const session = await send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
    await send('Target.activateTarget', { targetId });
    const evaluate = async <T>(expression: string) => {
      type Evaluated = { result: { value: T }; exceptionDetails?: { exception?: { description?: string } } };
      const asked = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
      const { result, exceptionDetails } = await send<Evaluated>('Runtime.evaluate', asked, session);
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? 'the page threw');
      return result.value;
    };
    return { evaluate, until: (expression) => untilHolds({ evaluate }, expression) };
  }

  close(): Promise<void> {
    return this.#browser.close();
  }
}

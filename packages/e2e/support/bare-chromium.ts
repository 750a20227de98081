import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { chromiumPath, type LaunchOptions, switches } from './browser';

/**
 * A Chromium as its users have it: Playwright switches off what browsers do to pages in the background, and tells every page
 * that it is in front. Spoken to over the DevTools protocol.
 */
export class BareChromium {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, { resolve(result: never): void; reject(error: Error): void }>();
  #id = 0;

  private constructor(child: ChildProcess, folder: string, socket: WebSocket) {
    this.#child = child;
    this.#folder = folder;
    this.#socket = socket;
    socket.on('message', (data) => {
      const { id, result, error } = JSON.parse(String(data));
      const waiting = this.#answers.get(id);
      this.#answers.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result as never);
    });
  }

  static async launch(options: LaunchOptions = {}): Promise<BareChromium> {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-chromium-'));
    const own = ['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${folder}`, '--no-first-run'];
    const child = spawn(chromiumPath!, [...switches(options), ...own, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for await (const line of createInterface({ input: child.stderr! })) {
      const address = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (!address) continue;
      // Whatever else it has to say must not fill the pipe.
      child.stderr!.resume();
      const socket = new WebSocket(address);
      await once(socket, 'open');
      return new BareChromium(child, folder, socket);
    }
    throw new Error('Chromium ended before it was ready');
  }

  /** Opens a tab, in front of the others. */
  async open(url: string): Promise<Tab> {
    const { targetId } = await this.#send<{ targetId: string }>('Target.createTarget', { url });
    const { sessionId } = await this.#send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
    await this.#send('Target.activateTarget', { targetId });
    const tab: Tab = {
      until: async (expression) => {
        while (!(await tab.evaluate(expression))) await new Promise((resolve) => setTimeout(resolve, 50));
      },
      evaluate: async <T>(expression: string) => {
        type Evaluated = { result: { value: T }; exceptionDetails?: { exception?: { description?: string } } };
        const asked = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
        const { result, exceptionDetails } = await this.#send<Evaluated>('Runtime.evaluate', asked, sessionId);
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? 'the page threw');
        return result.value;
      },
    };
    return tab;
  }

  async close(): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#socket.close();
    this.#child.kill();
    await gone;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #send<T>(method: string, params: object, sessionId?: string): Promise<T> {
    const id = ++this.#id;
    this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    return new Promise<T>((resolve, reject) => this.#answers.set(id, { resolve, reject }));
  }
}

/** A tab of {@link BareChromium}. */
export interface Tab {
  /** The value of an expression, awaited. */
  evaluate<T>(expression: string): Promise<T>;
  /** Resolves when the expression holds. */
  until(expression: string): Promise<void>;
}

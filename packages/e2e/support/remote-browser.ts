import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { endProcess } from './end-process';

/** How a {@link RemoteBrowser} is started. */
export interface RemoteOptions {
  readonly program: string;
  /** Its arguments, given a folder of its own that is empty and goes with it. */
  args(folder: string): string[];
  /** What it writes to standard error when it can be spoken to; the first group is the address. */
  readonly ready: RegExp;
  /** Comes after the address. */
  readonly path?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** A browser that is spoken to over a WebSocket in numbered commands: the DevTools protocol, or WebDriver BiDi. */
export class RemoteBrowser {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, { resolve(result: never): void; reject(error: Error): void }>();
  readonly #listeners = new Map<string, (params: never) => void>();
  #id = 0;

  private constructor(child: ChildProcess, folder: string, socket: WebSocket) {
    this.#child = child;
    this.#folder = folder;
    this.#socket = socket;
    socket.on('message', (data) => {
      const { id, result, error, message, method, params } = JSON.parse(String(data));
      if (method) this.#listeners.get(method)?.(params as never);
      const waiting = this.#answers.get(id);
      this.#answers.delete(id);
      // One protocol tells what went wrong in the error, the other beside it.
      if (error) waiting?.reject(new Error(message ?? error.message));
      else waiting?.resolve(result as never);
    });
    socket.on('close', () => {
      for (const { reject } of this.#answers.values()) reject(new Error('the browser ended before it answered'));
    });
  }

  static async start({ program, args, ready, path = '', env }: RemoteOptions): Promise<RemoteBrowser> {
    const folder = await mkdtemp(join(tmpdir(), 'moshi-browser-'));
    const child = spawn(program, args(folder), {
      stdio: ['ignore', 'ignore', 'pipe'],
      // Firefox does not start in a home that is another user's.
      env: { ...(env ?? process.env), HOME: folder },
    });
    for await (const line of createInterface({ input: child.stderr! })) {
      const address = ready.exec(line)?.[1];
      if (!address) continue;
      // Whatever else it has to say must not fill the pipe.
      child.stderr!.resume();
      const socket = new WebSocket(`${address}${path}`);
      await once(socket, 'open');
      return new RemoteBrowser(child, folder, socket);
    }
    throw new Error(`${program} ended before it was ready`);
  }

  /** Sends a command; `more` goes beside its parameters. Rejects with what the browser says against it. */
  send<T = unknown>(method: string, params: object, more: object = {}): Promise<T> {
    const id = ++this.#id;
    return new Promise<T>((resolve, reject) => {
      this.#answers.set(id, { resolve, reject });
      // A browser that has ended answers nothing.
      this.#socket.send(JSON.stringify({ id, method, params, ...more }), (error) => void (error && reject(error)));
    });
  }

  /** Calls with what the browser tells by itself under this name. */
  on<Params>(method: string, listener: (params: Params) => void): void {
    this.#listeners.set(method, listener);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await endProcess(this.#child);
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A tab of a browser. */
export interface Tab {
  /** The value of an expression, awaited. */
  evaluate<T>(expression: string): Promise<T>;
  /** Resolves when the expression holds. */
  until(expression: string): Promise<void>;
}

/** {@link Tab.until} for a tab that can evaluate. */
export async function untilHolds(tab: Pick<Tab, 'evaluate'>, expression: string): Promise<void> {
  while (!(await tab.evaluate(expression))) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** As an expression: what a function, which refers to nothing outside of itself, gives for an argument that is data. */
export function called<Argument, Result>(run: (argument: Argument) => Result, argument?: Argument): string {
  return `(${run})(${JSON.stringify(argument) ?? ''})`;
}

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** A process that serves. */
export interface Running {
  /** Address it printed, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** All it has printed so far. */
  output(): string;
  /** Ends it as Ctrl+C does and resolves with its exit code. */
  stop(): Promise<number | null>;
}

/** Starts `examples/NAME/main.ts` as its header says, on a free port of this machine, and waits until it listens. */
export function startExample(name: string, env: Record<string, string> = {}): Promise<Running> {
  return start(['--import', 'tsx', `examples/${name}/main.ts`], env);
}

/** Starts the `moshi` command from its sources. */
export function startMoshi(...args: string[]): Promise<Running> {
  return start(['--import', 'tsx', 'packages/cli/src/moshi.ts', 'serve', '--port', '0', ...args], {});
}

/** Starts a script of Node in the repository, with none of the settings of whoever runs the tests. */
export function start(args: string[], env: Record<string, string>, cwd = ROOT): Promise<Running> {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, args, {
    cwd,
    env: { PATH, HOME, HOST: '127.0.0.1', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  return new Promise((resolve, reject) => {
    const read = (data: Buffer) => {
      output += data;
      const address = /^(?:listening on )?((?:http|ws)s?:\/\/[\w.]+:(\d+)[^\s,]*?)[:,]?\s/m.exec(output);
      if (address)
        resolve({ url: address[1]!, port: Number(address[2]), output: () => output, stop: () => stop(child) });
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${args.join(' ')} ended with ${code}:\n${output}`)));
  });
}

function stop(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    child.on('exit', resolve);
    child.kill('SIGTERM');
  });
}

import { type ChildProcess, spawn } from 'node:child_process';
import { MoshiError, type MoshiErrorCode } from '@moshi/client';
import { oneLine } from '../exit';
import type { SoundTool } from './tools';

/** Time a program gets to end by itself. */
const KILL_MS = 1000;
const MOST_STDERR = 4096;

/** A tool that this machine has. */
export interface FoundTool {
  readonly tool: SoundTool;
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
}

/** A sound tool that runs. */
export class ToolProcess {
  readonly child: ChildProcess;
  /** Resolves when it has ended without being asked to, with what is to be said about it; never after `close`. */
  readonly ended: Promise<MoshiError>;
  readonly #exited: Promise<void>;
  #closing = false;

  /** `device` by the tool's own name. */
  constructor({ tool, path, env }: FoundTool, device: string | undefined, side: 'input' | 'output') {
    const capture = side === 'input';
    this.child = spawn(path, tool.args(device), {
      stdio: [capture ? 'ignore' : 'pipe', capture ? 'pipe' : 'ignore', 'pipe'],
      // Its words are looked at, so they have to be English.
      env: { ...env, LC_ALL: 'C' },
      windowsHide: true,
    });
    let said = '';
    this.child.stderr?.on('data', (data: Buffer) => {
      said = (said + String(data)).slice(-MOST_STDERR);
    });
    // A program that has ended is told by `ended`, not by the pipe that broke.
    this.child.stdin?.on('error', () => {});
    const outcome = new Promise<string>((resolve) => {
      this.child.on('error', (error) => resolve(oneLine(error)));
      this.child.on('close', (code, signal) => resolve(lastLine(said) || `it ended with ${signal ?? code}`));
    });
    this.#exited = outcome.then(() => {});
    this.ended = new Promise((resolve) => {
      void outcome.then((words) => {
        if (!this.#closing) resolve(new MoshiError(codeOf(words), `${tool.program}: ${words}`));
      });
    });
  }

  /** Ends it, and waits until it has. */
  async close(): Promise<void> {
    this.#closing = true;
    this.child.stdin?.end();
    this.child.kill();
    const killer = setTimeout(() => this.child.kill('SIGKILL'), KILL_MS);
    await this.#exited;
    clearTimeout(killer);
  }
}

function lastLine(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return oneLine(lines.at(-1) ?? ' ').replace(/^unknown error$/, '');
}

function codeOf(words: string): MoshiErrorCode {
  if (/busy/i.test(words)) return 'device-busy';
  return /permission|not permitted|denied/i.test(words) ? 'permission-denied' : 'no-device';
}

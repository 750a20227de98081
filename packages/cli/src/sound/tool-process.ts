import { type ChildProcess, spawn } from 'node:child_process';
import { MoshiError, type MoshiErrorCode } from '@moshi/client';
import { oneLine } from '../exit';
import type { SoundTool } from './tools';

/** Time a program gets to end by itself. */
const KILL_MS = 1000;
const MOST_LINE = 4096;

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

  /** `device` by the tool's own name; `says` gets what the tool tells of its progress. */
  constructor(
    { tool, path, env }: FoundTool,
    device: string | undefined,
    side: 'input' | 'output',
    says: (line: string) => void = () => {},
  ) {
    const capture = side === 'input';
    this.child = spawn(path, tool.args(device), {
      stdio: [capture ? 'ignore' : 'pipe', capture ? 'pipe' : 'ignore', 'pipe'],
      // Its words are looked at, so they have to be English.
      env: { ...env, LC_ALL: 'C' },
      windowsHide: true,
    });
    let rest = '';
    let reason = '';
    const read = (line: string) => {
      const words = cleaned(line, tool.program);
      if (words === '') return;
      if (tool.progress?.test(words)) return says(words);
      reason = words;
    };
    this.child.stderr?.on('data', (data: Buffer) => {
      const lines = (rest + String(data)).split(/[\r\n]/);
      rest = lines.pop()!.slice(-MOST_LINE);
      for (const line of lines) read(line);
    });
    // A program that has ended is told by `ended`, not by the pipe that broke.
    this.child.stdin?.on('error', () => {});
    const outcome = new Promise<string>((resolve) => {
      this.child.on('error', (error) => resolve(oneLine(error)));
      this.child.on('close', (code, signal) => {
        read(rest);
        resolve(reason || `it ended with ${signal ?? code}`);
      });
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

/** A line without the program's name, and without where in its sources it says that. */
function cleaned(line: string, program: string): string {
  const words = line.trim();
  const [, said = words] =
    new RegExp(String.raw`^(?:\S*/)?${program}(?::| FAIL \w+:| WARN \w+:) (.*)$`).exec(words) ?? [];
  return said.replace(/^[a-z_]+:\d+: /, '');
}

function codeOf(words: string): MoshiErrorCode {
  if (/busy/i.test(words)) return 'device-busy';
  return /permission|not permitted|denied/i.test(words) ? 'permission-denied' : 'no-device';
}

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** Ends a program, and resolves when it is gone; it may have ended by itself. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill();
  await gone;
}

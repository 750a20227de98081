import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCode } from './errors';

const HEARTBEAT_MS = 5_000;
const STALE_MS = 60_000;

/** How {@link withFileLock} waits. */
export interface FileLockOptions {
  /** Called about every 100 ms while another process or caller holds the lock. */
  readonly onWait?: () => Promise<void> | void;
  /** Ends the wait with the signal's reason. */
  readonly signal?: AbortSignal;
  /** A holder silent for so many milliseconds is taken for dead. Default 60 000. */
  readonly staleMs?: number;
}

/**
 * Runs `work` while holding a lock file made by exclusive create. A lock whose holder died (its process is gone, or it
 * gave no sign of life for a minute) is taken over.
 */
export async function withFileLock<T>(path: string, options: FileLockOptions, work: () => Promise<T>): Promise<T> {
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() });
  await mkdir(dirname(path), { recursive: true });
  while (!(await create(path, mine))) {
    options.signal?.throwIfAborted();
    if (await isStale(path, options.staleMs ?? STALE_MS)) await removeStale(path, options.staleMs ?? STALE_MS);
    else {
      await options.onWait?.();
      await sleep(100, undefined, { signal: options.signal }).catch(() => options.signal?.throwIfAborted());
    }
  }
  const heartbeat = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if ((await readFile(path, 'utf8').catch(() => '')) === mine) await rm(path, { force: true });
  }
}

async function create(path: string, content: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(content).finally(() => file.close());
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function isStale(path: string, staleMs: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return false;
  if (Date.now() - found.mtimeMs > staleMs) return true;
  try {
    const holder = JSON.parse(await readFile(path, 'utf8')) as { pid?: unknown; host?: unknown };
    if (holder.host !== hostname() || typeof holder.pid !== 'number') return false;
    process.kill(holder.pid, 0);
    return false;
  } catch (error) {
    return systemCode(error) === 'ESRCH';
  }
}

/** Only one of several waiters may remove a stale lock, else the second would remove the first one's new lock. */
async function removeStale(path: string, staleMs: number): Promise<void> {
  const guard = `${path}.stale`;
  if (!(await create(guard, String(process.pid)))) {
    const found = await stat(guard).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > staleMs) await rm(guard, { force: true });
    await sleep(20);
    return;
  }
  try {
    if (await isStale(path, staleMs)) await rm(path, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}

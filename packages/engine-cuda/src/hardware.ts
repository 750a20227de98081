import { cpus, freemem, totalmem } from 'node:os';
import { addon } from './native';

/** What this machine has, as far as the engine cares. */
export interface Hardware {
  platform: string;
  node: string;
  cpu: {
    model: string;
    /** Logical processors. */
    threads: number;
    /** Kernel sets this CPU runs, slowest first. */
    isa: string[];
    /** The one the engine takes. */
    used: string;
    /** Threads the engine takes unless told otherwise. */
    engineThreads: number;
  };
  memory: { totalBytes: number; freeBytes: number };
}

/** Looks at this machine. Throws `ENGINE_NOT_BUILT` when the native part is missing. */
export async function inspectHardware(): Promise<Hardware> {
  const { isa, used, threads } = addon().cpu();
  const all = cpus();
  return {
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    cpu: { model: all[0]?.model.trim() ?? 'unknown', threads: all.length, isa, used, engineThreads: threads },
    memory: { totalBytes: totalmem(), freeBytes: freemem() },
  };
}

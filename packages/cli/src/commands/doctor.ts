import type { Command } from 'commander';
import { CliError, ExitCode, isAbort, oneLine } from '../exit';
import type { Host, MachineReport } from '../host';
import { loadEngine } from '../loading';

/** What `moshi doctor --json` prints. */
export interface DoctorReport {
  /** Everything that was tried worked. */
  readonly ok: boolean;
  readonly machine: MachineReport | null;
  /** The default model: loaded and closed again. */
  readonly model: {
    readonly name: string;
    readonly loadMs: number;
    readonly details: Readonly<Record<string, unknown>>;
  } | null;
  /** One line for each thing that did not work. */
  readonly problems: readonly string[];
}

/** Adds `moshi doctor`. */
export function addDoctor(program: Command, host: Host): void {
  program
    .command('doctor')
    .summary('tell what this machine has and whether the engine runs')
    .description('Tells what this machine has, what the engine uses of it, and whether the default model loads.')
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi doctor')
    .action((flags: { json?: boolean }) => doctor(host, flags));
}

async function doctor(host: Host, flags: { json?: boolean }): Promise<void> {
  const problems: string[] = [];
  const attempt = async <T>(work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      if (isAbort(error)) throw error;
      problems.push(oneLine(error));
      return null;
    }
  };
  const machine = await attempt(async () => (await host.models()).inspectHardware());
  const model = await attempt(async () => {
    const startedAt = performance.now();
    const engine = await loadEngine(host, {});
    const loadMs = Math.round(performance.now() - startedAt);
    await engine.close();
    return { name: engine.info.model, loadMs, details: engine.info.details };
  });
  const report: DoctorReport = { ok: problems.length === 0, machine, model, problems: [...new Set(problems)] };
  host.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : inWords(report));
  if (!report.ok) throw new CliError(ExitCode.model, report.problems.join('; '));
}

function inWords({ machine, model, problems }: DoctorReport): string {
  const lines: [string, string][] = [];
  if (machine) {
    const { cpu, memory } = machine;
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
    lines.push(
      ['system', `${machine.platform}, Node ${machine.node}`],
      ['cpu', `${cpu.model}, ${cpu.threads} threads, runs ${cpu.isa.join(', ')}`],
      ['memory', `${gigabytes(memory.totalBytes)}, ${gigabytes(memory.freeBytes)} free`],
      ['uses', `${cpu.used} kernels on ${cpu.engineThreads} threads`],
    );
  }
  if (model) lines.push(['model', `the default model (${model.name}) loads, in ${model.loadMs} ms`]);
  for (const problem of problems) lines.push(['problem', problem]);
  return lines.map(([name, value]) => `${name.padEnd(8)}${value}\n`).join('');
}

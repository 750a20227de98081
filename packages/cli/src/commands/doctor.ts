import type { Hardware, Outlook } from '@moshi/engine-cuda';
import type { Command } from 'commander';
import { CliError, ExitCode, isAbort, oneLine } from '../exit';
import type { Host } from '../host';
import { loadEngine } from '../loading';
import { inWords } from './doctor-words';

/** What `moshi doctor --json` prints. */
export interface DoctorReport {
  /** Everything that was tried worked. */
  readonly ok: boolean;
  readonly machine: Hardware | null;
  /** Whether this version runs models on GPUs, or only sees them and plans for them. */
  readonly gpusRun: boolean;
  /** What each known model would do here; null when the machine could not be looked at. */
  readonly outlook: readonly Outlook[] | null;
  /** The default model: loaded and closed again. */
  readonly model: {
    readonly name: string;
    readonly loadMs: number;
    readonly details: Readonly<Record<string, unknown>>;
  } | null;
  /** One line for each thing that did not work. */
  readonly problems: readonly string[];
}

interface DoctorFlags {
  json?: boolean;
  gpu: boolean;
  quick?: boolean;
}

/** Adds `moshi doctor`. */
export function addDoctor(program: Command, host: Host): void {
  program
    .command('doctor')
    .summary('tell what this machine has and whether the engine runs')
    .description(
      'Tells what this machine has, GPUs included, how each known model would run on it and why, and whether the default model loads.',
    )
    .option('--json', 'print one JSON object in place of words')
    .option('--no-gpu', "do not ask the GPUs' driver")
    .option('--quick', 'do not measure the memory, which takes a few seconds; then nothing is predicted for the CPU')
    .addHelpText('after', '\nExample:\n  $ moshi doctor')
    .action((flags: DoctorFlags) => doctor(host, flags));
}

async function doctor(host: Host, flags: DoctorFlags): Promise<void> {
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
  const machine = await attempt(async () =>
    (await host.models()).inspectHardware({ gpu: flags.gpu, measure: !flags.quick }),
  );
  const plans = await attempt(async () => {
    const { outlook, planOverridesFromEnv, BACKENDS } = await host.models();
    const gpusRun = BACKENDS.includes('cuda');
    return { gpusRun, outlook: machine && outlook(machine, planOverridesFromEnv(process.env), BACKENDS) };
  });
  const model = await attempt(async () => {
    const startedAt = performance.now();
    const engine = await loadEngine(host, {});
    const loadMs = Math.round(performance.now() - startedAt);
    await engine.close();
    return { name: engine.info.model, loadMs, details: engine.info.details };
  });
  const report: DoctorReport = {
    ok: problems.length === 0,
    machine,
    gpusRun: plans?.gpusRun ?? false,
    outlook: plans?.outlook ?? null,
    model,
    problems: [...new Set(problems)],
  };
  host.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : inWords(report));
  if (!report.ok) throw new CliError(ExitCode.model, report.problems.join('; '));
}

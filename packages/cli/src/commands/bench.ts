import type { BenchOptions, BenchReport as EngineBenchReport } from '@moshi/engine-cuda';
import type { Engine } from '@moshi/server';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CliError, ExitCode, stage } from '../exit';
import type { Host } from '../host';
import { loadEngine, unlessAborted, withModels } from '../loading';
import { ProgressBar } from '../progress';
import { benchInWords } from './bench-words';
import { MODEL_HELP, whole } from './options';

/** What `moshi bench --json` prints; times in milliseconds. */
export interface BenchReport extends EngineBenchReport {
  /** Time until a caller is answered; null for models without personas. */
  readonly persona: {
    readonly steps: number;
    /** One position at a time, as the reference reads it. */
    readonly stepped: number;
    /** Many positions at once. */
    readonly read: number;
    /** Copied from the last caller with the same persona. */
    readonly copied: number;
  } | null;
}

interface BenchFlags extends Pick<BenchOptions, 'model' | 'device' | 'weights' | 'kv' | 'isa' | 'threads'> {
  voices?: string;
  voice?: string;
  prompt: string;
  frames: number;
  sessions: number[];
  position: number[];
  layers: boolean;
  json?: boolean;
}

const SYNTHETIC = 'synthetic:';

/** Adds `moshi bench`. */
export function addBench(program: Command, host: Host): void {
  program
    .command('bench')
    .summary('measure how fast a model runs here')
    .description(
      'Measures a frame of conversation and where its time goes, what this machine could do at best, and how long a persona takes ' +
        'until its caller is answered. Machines differ: compare the ratios.',
    )
    .option(
      '--model <model>',
      `${MODEL_HELP}; or made-up weights of a published shape: synthetic:personaplex-7b, moshi-7b, stt-1b, stt-2.6b, tts-1.6b or mimi`,
    )
    .option('--device <device>', 'where it runs: cpu, or a GPU by its number, cuda:0', 'cpu')
    .addOption(
      new Option('--weights <form>', 'form the weights are run in')
        .choices(['auto', 'stored', 'f16', 'bf16', 'q8', 'mixed', 'q4'])
        .default('auto'),
    )
    .addOption(
      new Option('--kv <type>', "elements of the attention's memory")
        .choices(['auto', 'f32', 'f16', 'q8'])
        .default('auto'),
    )
    .option('--sessions <list>', 'conversations stepped together: 1, or 1,8 to measure both', wholes(1, 256), [1])
    .option('--position <list>', 'how far they have come, in frames', wholes(0, 1_000_000_000), [1500])
    .option('--frames <n>', 'frames of 80 ms to measure, fewer when they take long', whole(1, 100_000), 50)
    .option('--no-layers', 'leave out the linear layers by themselves, which need a minute')
    .option('--voices <path>', 'folder of voices, or a voices.tgz')
    .option('--voice <name>', 'voice of the persona')
    .option(
      '--prompt <text>',
      'role of the persona',
      'You are a wise and friendly teacher. Answer questions or provide advice in a clear and engaging way.',
    )
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--isa <name>', 'instruction set of the kernels (default: the best this CPU runs)')
    .option('--json', 'print one JSON object in place of words')
    .addHelpText(
      'after',
      '\nExamples:\n  $ moshi bench --model synthetic:personaplex-7b --weights q8 --sessions 1,8\n' +
        '  $ moshi bench --model nvidia/personaplex-7b-v1 --voice NATF2',
    )
    .action((flags: BenchFlags) => bench(host, flags));
}

/** A parser of lists of whole numbers from `low` to `high`. */
function wholes(low: number, high: number): (text: string) => number[] {
  const one = whole(low, high);
  return (text) => {
    try {
      return [...new Set(text.split(',').map(one))];
    } catch {
      throw new InvalidArgumentError(`It must be whole numbers from ${low} to ${high}, with commas between them.`);
    }
  };
}

async function bench(host: Host, flags: BenchFlags): Promise<void> {
  const { model, device, weights, kv, isa, threads, frames, sessions, position } = flags;
  const synthetic = model?.startsWith(SYNTHETIC);
  if (synthetic && (flags.voice ?? flags.voices) !== undefined) {
    throw new CliError(ExitCode.usage, `${model} knows no voices: leave out --voice and --voices`);
  }
  const bar = new ProgressBar(host.stderr);
  const measured = await withModels(host, (models, watch) => {
    const running = models.bench({
      ...watch,
      ...(model !== undefined && { model }),
      ...(threads !== undefined && { threads }),
      ...(isa !== undefined && { isa }),
      ...(!flags.layers && { layers: [] }),
      device,
      weights,
      kv,
      frames,
      sessions,
      positions: position,
      onMeasure: (what, done, all) => bar.update('measuring', done, all, what),
    });
    return unlessAborted(host.signal, running).finally(() => bar.clear());
  });
  const persona = synthetic || !measured.lm?.persona ? null : await timePersona(host, flags);
  if (!persona && flags.voice !== undefined) {
    throw new CliError(ExitCode.usage, `${measured.model} knows no voices: leave out --voice`);
  }
  const report: BenchReport = { ...measured, persona };
  host.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : benchInWords(report));
}

async function timePersona(host: Host, flags: BenchFlags): Promise<BenchReport['persona']> {
  const { model, device, threads, voices, voice, prompt, weights } = flags;
  const gpu = device?.startsWith('cuda:') ? Number(device.slice(5)) : false;
  const engine = await loadEngine(host, { model, gpu, threads, voices, weights, slots: 1 });
  try {
    if (!('timePersona' in engine)) return null;
    const timed = engine as Engine & {
      timePersona(persona: { voice?: string; prompt: string }): Promise<{
        steps: number;
        steppedMs: number;
        readMs: number;
        copiedMs: number;
      }>;
    };
    const work = stage(ExitCode.usage, () => timed.timePersona({ voice, prompt }));
    const times = await unlessAborted(host.signal, work);
    return { steps: times.steps, stepped: times.steppedMs, read: times.readMs, copied: times.copiedMs };
  } finally {
    await engine.close();
  }
}

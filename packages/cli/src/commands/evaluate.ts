import { type Command, Option } from 'commander';
import { CliError, ExitCode } from '../exit';
import type { EvaluateOptions, Host, QualityReport, StreamQuality } from '../host';
import { unlessAborted, withModels } from '../loading';
import { ProgressBar } from '../progress';
import { MODEL_HELP, whole, within } from './options';

interface EvaluateFlags extends Omit<EvaluateOptions, 'signal' | 'onProgress' | 'onEvaluation'> {
  minAgreement?: number;
  json?: boolean;
}

const STAGES = { encoding: 'encoding the recordings', reference: 'running the reference', tested: 'testing' };

/** Adds `moshi eval`. */
export function addEvaluate(program: Command, host: Host): void {
  program
    .command('eval')
    .summary('measure what fewer bits, or other training, do to a model')
    .description(
      'Lets a reference answer recordings, leads the model under test along the same tokens, and compares what each of them ' +
        'would have said: how often they agree, and how far their probabilities are apart, for text and every codebook.',
    )
    .requiredOption('--audio <place>', 'what the model listens to: a recording, or a folder of them')
    .option('--model <model>', MODEL_HELP)
    .addOption(
      new Option('--weights <form>', 'form of the weights under test')
        .choices(['auto', 'stored', 'f16', 'bf16', 'q8', 'mixed', 'q4'])
        .default('auto'),
    )
    .option(
      '--against <reference>',
      'the reference: a form of the same model (stored, bf16, …), or another model, a folder or owner/name',
      'stored',
    )
    .addOption(
      new Option('--kv <type>', "elements of the attention's memory under test; the reference has f32")
        .choices(['f32', 'f16', 'q8'])
        .default('f32'),
    )
    .option('--lora <file>', 'LoRA adapter to fuse into the model: a path, or hf://owner/name/file')
    .option('--frames <n>', 'frames of 80 ms to compare, of all recordings together', whole(1, 5000), 500)
    .option('--min-agreement <n>', 'fail with status 1 when text or sound agree in less, 0 to 1', within(0, 1))
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi eval --weights q4 --audio recordings/ --min-agreement 0.9')
    .action((flags: EvaluateFlags) => evaluate(host, flags));
}

async function evaluate(host: Host, { minAgreement, json, ...options }: EvaluateFlags): Promise<void> {
  const bar = new ProgressBar(host.stderr);
  const report = await withModels(host, (models, watch) => {
    const running = models.evaluate({
      ...options,
      ...watch,
      onEvaluation: ({ stage, done, all }) => bar.update(STAGES[stage], done, all),
    });
    return unlessAborted(host.signal, running).finally(() => bar.clear());
  });
  host.stdout.write(json ? `${JSON.stringify(report)}\n` : inWords(report));
  if (minAgreement !== undefined) checkAgreement(report, minAgreement);
}

function checkAgreement({ agreement }: QualityReport, least: number): void {
  const missed = (['text', 'audio'] as const).filter((stream) => {
    // A model without a voice of its own has no audio to agree on.
    const share = agreement[stream];
    return share !== null && !(share >= least);
  });
  if (missed.length === 0) return;
  const shares = missed.map((stream) => `${stream === 'text' ? 'text' : 'sound'} in ${agreement[stream]!.toFixed(4)}`);
  throw new CliError(
    ExitCode.failed,
    `less agreement than --min-agreement ${least}: ${shares.join(', ')}; use weights of more bits`,
  );
}

function inWords(report: QualityReport): string {
  const { model, weights, against, kv, frames, recordings, hidden } = report;
  const memory = kv === 'f32' ? '' : `, attention over ${kv}`;
  const heard = `${recordings} recording${recordings === 1 ? '' : 's'}`;
  const streams: [string, StreamQuality][] = [
    ['text', report.text],
    ['words', report.words],
    ...report.audio.map((stream, i): [string, StreamQuality] => [`codes ${i + 1}`, stream]),
  ];
  return [
    `${'model'.padEnd(9)}${model}: ${weights}${memory} against ${against}, ${frames} frames of ${heard}`,
    `${'hidden'.padEnd(9)}${shown(hidden, 6)} cosine`,
    `${''.padEnd(9)}  agree  divergence   rank  perplexity (reference)`,
    ...streams.map(([name, stream]) => `${name.padEnd(9)}${row(stream)}`),
    '',
  ].join('\n');
}

function row({ draws, agreement, divergence, rank, perplexity, referencePerplexity }: StreamQuality): string {
  if (draws === 0) return '      –  no tokens';
  const share = agreement === null ? '–' : `${(100 * agreement).toFixed(1)} %`;
  const columns = [share.padStart(7), shown(divergence, 5).padStart(12), shown(rank, 2).padStart(7)];
  return `${columns.join('')}  ${shown(perplexity, 2)} (${shown(referencePerplexity, 2)})`;
}

function shown(value: number | null, digits: number): string {
  return value === null ? '–' : value.toFixed(digits);
}

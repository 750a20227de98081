import { type Command, Option } from 'commander';
import type { Host } from '../host';
import { withModels } from '../loading';
import { ProgressBar } from '../progress';
import { whole } from './options';

const TYPES = ['q8', 'mixed', 'q4', 'q8_0', 'q4_0', 'q4_k', 'bf16', 'f16', 'f32'];
const NOTES_SHOWN = 3;

interface QuantizeFlags {
  type: string;
  threads?: number;
  json?: boolean;
}

/** Adds `moshi quantize`. */
export function addQuantize(program: Command, host: Host): void {
  program
    .command('quantize')
    .summary("write a model's weights in a smaller form")
    .description(
      'Writes the weights of a language model in another type, tensor by tensor. Put the new file beside the other files of the ' +
        'model, in place of its weights. q8, mixed and q4 give each layer what its share in the quality bears; the others are ' +
        "ggml's, the same for every layer.",
    )
    .argument('<in>', 'folder with a model, owner/name on the Hugging Face hub, or a file of weights')
    .argument('<out>', 'the new file: .gguf, or .safetensors for the published int8 form')
    .addOption(new Option('--type <type>', 'what the weights become').choices(TYPES).makeOptionMandatory())
    .option('--threads <n>', 'threads to use', whole(1, 256))
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi quantize kyutai/moshiko-pytorch-bf16 moshiko/model.q8.gguf --type q8')
    .action((input: string, output: string, flags: QuantizeFlags) => quantize(host, input, output, flags));
}

async function quantize(host: Host, input: string, output: string, flags: QuantizeFlags): Promise<void> {
  const { type, threads, json } = flags;
  const bar = new ProgressBar(host.stderr);
  const started = performance.now();
  // Waited for even when interrupted: it takes its unfinished file away itself.
  const { bytes, notes } = await withModels(host, (models, watch) =>
    models
      .quantizeCheckpoint(input, output, {
        ...watch,
        type,
        ...(threads !== undefined && { threads }),
        onQuantize: ({ done, total }) => bar.update('quantizing', done, total, speed(done, started)),
      })
      .finally(() => bar.clear()),
  );
  if (json) {
    host.stdout.write(`${JSON.stringify({ input, output, type, bytes, notes })}\n`);
    return;
  }
  for (const note of notes.slice(0, NOTES_SHOWN)) host.stderr.write(`moshi: ${note}\n`);
  if (notes.length > NOTES_SHOWN) host.stderr.write(`moshi: and so on, ${notes.length} in all\n`);
  host.stdout.write(`${output}: ${(bytes / 1e9).toFixed(2)} GB of ${type}\n`);
}

function speed(done: number, started: number): string {
  const seconds = (performance.now() - started) / 1000;
  return seconds > 0.5 ? `${(done / seconds / 1e6).toFixed(0)} M weights/s` : '';
}

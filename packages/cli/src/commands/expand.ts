import type { Command } from 'commander';
import type { Host } from '../host';
import { withModels } from '../loading';

/** Adds `moshi expand`. */
export function addExpand(program: Command, host: Host): void {
  program
    .command('expand')
    .summary('write a Moshi model as a PersonaPlex one')
    .description(
      "Writes a Moshi model as one of PersonaPlex architecture, as NVIDIA's loader expands it: its depth transformer also " +
        'predicts the user. It is the start of a fine-tuning: no voice or role was trained in. Use it with --model OUT.',
    )
    .argument('<in>', 'folder with a Moshi model, or owner/name on the Hugging Face hub')
    .argument('<out>', 'folder for the new model; it must not hold anything yet')
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi expand kyutai/moshiko-pytorch-bf16 ./moshiko-personaplex')
    .action((input: string, output: string, flags: { json?: boolean }) => expand(host, input, output, flags));
}

async function expand(host: Host, input: string, output: string, flags: { json?: boolean }): Promise<void> {
  // Waited for even when interrupted: it takes its unfinished files away itself.
  await withModels(host, (models, watch) => models.expandCheckpoint(input, output, watch));
  const words = `${output}: ${input} as a PersonaPlex model. Use it with: --model ${output}\n`;
  host.stdout.write(flags.json ? `${JSON.stringify({ input, output })}\n` : words);
}

import { SAMPLE_RATE } from '@moshi/protocol';
import type { Command } from 'commander';
import { CliError, ExitCode, stage } from '../exit';
import type { Host } from '../host';
import { loadCodec, unlessAborted, withModels } from '../loading';
import { MODEL_HELP, VOICES_HELP, whole } from './options';

interface VoiceFlags {
  model?: string;
  voices?: string;
  threads?: number;
  json?: boolean;
}

/** Codebooks a voice has in a file: those of the model's own speech. */
const CODEBOOKS = 8;

/** Adds `moshi voice make` and `moshi voice list`. */
export function addVoice(program: Command, host: Host): void {
  const voice = program
    .command('voice')
    .summary('make and list voices')
    .description('Makes voices for PersonaPlex models out of recordings, and lists those there are.')
    .addHelpText(
      'after',
      '\nExamples:\n  $ moshi voice make me.mp3 voices/me.safetensors --model nvidia/personaplex-7b-v1',
    )
    .addHelpText('after', '  $ moshi voice list --model nvidia/personaplex-7b-v1 --voices voices');
  voice
    .command('make')
    .summary('make a voice out of a recording')
    .description(
      'Makes a voice out of a recording of somebody speaking, 5 to 15 seconds: evened out in loudness, encoded with the ' +
        "model's codec, stored. Put into a folder given as --voices, it is offered by its name. A recording works there " +
        'too, but is then encoded each time the model is loaded.',
    )
    .argument('<in>', 'WAV, FLAC, MP3, Ogg or Opus, up to 60 seconds')
    .argument('<out.safetensors>', 'where the voice goes; an existing voice is replaced')
    .option('--model <model>', MODEL_HELP)
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--json', 'print one JSON object in place of words')
    .addHelpText(
      'after',
      '\nExample:\n  $ moshi voice make me.mp3 voices/me.safetensors --model nvidia/personaplex-7b-v1',
    )
    .action((input: string, output: string, flags: VoiceFlags) => make(host, input, output, flags));
  voice
    .command('list')
    .summary('list the voices of a model, and your own')
    .description('Lists the names of the voices a model would be served with, one a line.')
    .option('--model <model>', MODEL_HELP)
    .option('--voices <place>', VOICES_HELP)
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi voice list --model nvidia/personaplex-7b-v1')
    .action((flags: VoiceFlags) => list(host, flags));
}

async function make(host: Host, input: string, output: string, flags: VoiceFlags): Promise<void> {
  const models = await stage(ExitCode.model, host.models);
  await stage(ExitCode.usage, () => models.checkVoiceOutput(output));
  const pcm = await stage(ExitCode.input, () => models.decodeVoice(input));
  const codec = await loadCodec(host, { model: flags.model, threads: flags.threads });
  let codes: Int32Array;
  try {
    codes = await unlessAborted(host.signal, codec.voiceCodes(pcm));
  } finally {
    codec.close();
  }
  const frames = codes.length / CODEBOOKS;
  await models.writeVoice(output, codes, frames);
  const seconds = Math.round((pcm.length / SAMPLE_RATE) * 1000) / 1000;
  const note =
    flags.model === undefined
      ? '\nIt is a voice for the small untrained model: give --model for the one that is to speak with it.'
      : '';
  const words = `${output}: a voice of ${seconds} s, ${frames} frames.${note}\n`;
  host.stdout.write(flags.json ? `${JSON.stringify({ input, output, seconds, frames })}\n` : words);
}

async function list(host: Host, { model, voices, json }: VoiceFlags): Promise<void> {
  if (model === undefined && voices === undefined) {
    throw new CliError(ExitCode.usage, 'the small untrained model has no voices: give --model, --voices or both');
  }
  const found = await withModels(host, (models, watch) => {
    const library = models.voiceLibrary({ ...(model && { model }), ...(voices && { voices }), ...watch });
    return unlessAborted(host.signal, library.list());
  });
  const words = found.map(({ name }) => `${name}\n`).join('');
  host.stdout.write(json ? `${JSON.stringify({ voices: found })}\n` : words);
  if (found.length === 0 && !json) host.stderr.write('moshi: no voices there; make one with: moshi voice make\n');
}

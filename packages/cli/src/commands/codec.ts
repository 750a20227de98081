import { SAMPLE_RATE } from '@moshi/protocol';
import { readWav, resample, writeWav } from '@moshi/protocol/audio';
import type { Command } from 'commander';
import { readCodes, writeCodes } from '../codes';
import { CliError, ExitCode } from '../exit';
import { checkOutput, parseInput, writeOutput } from '../files';
import type { Codec, Host } from '../host';
import { loadCodec, unlessAborted } from '../loading';
import { MODEL_HELP, whole } from './options';

interface CodecFlags {
  model?: string;
  threads?: number;
  codebooks?: number;
  json?: boolean;
}

/** Adds `moshi encode` and `moshi decode`. */
export function addCodec(program: Command, host: Host): void {
  program
    .command('encode')
    .summary('turn a recording into Mimi codes')
    .description('Encodes a WAV with the Mimi codec: 12.5 frames a second, a few codes each.')
    .argument('<in.wav>', 'any WAV: PCM or float, 8 to 192 kHz, any number of channels (mixed to one)')
    .argument('<out.codes>', 'where the codes go; the format is described in the README')
    .option('--model <model>', MODEL_HELP)
    .option('--codebooks <n>', 'codes a frame', whole(1, 256))
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi encode speech.wav speech.codes')
    .action((input: string, output: string, flags: CodecFlags) => encode(host, input, output, flags));
  program
    .command('decode')
    .summary('turn Mimi codes back into sound')
    .description('Decodes a file of `moshi encode` into a 24 kHz WAV, with the same model.')
    .argument('<in.codes>', 'what moshi encode wrote')
    .argument('<out.wav>', 'where the sound goes')
    .option('--model <model>', MODEL_HELP)
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi decode speech.codes speech.wav')
    .action((input: string, output: string, flags: CodecFlags) => decode(host, input, output, flags));
}

async function encode(host: Host, input: string, output: string, flags: CodecFlags): Promise<void> {
  const wav = await parseInput(input, readWav);
  if (wav.pcm.length === 0) throw new CliError(ExitCode.input, `${input} has no sound in it: record it again`);
  await checkOutput(output);
  const pcm = resample(wav.pcm, wav.sampleRate, SAMPLE_RATE);
  const startedAt = performance.now();
  const file = await withCodec(host, flags, async (codec) => {
    if (flags.codebooks !== undefined && flags.codebooks > codec.codebooks) {
      throw new CliError(
        ExitCode.usage,
        `--codebooks ${flags.codebooks} is more than the model has: ${codec.codebooks}`,
      );
    }
    const { codes, frames } = await codec.encode(pcm, flags.codebooks);
    return { codebooks: codes.length / Math.max(1, frames), frames, codes };
  });
  await writeOutput(output, writeCodes(file));
  report(host, flags, {
    input,
    output,
    codebooks: file.codebooks,
    frames: file.frames,
    ...took(pcm.length, startedAt),
  });
}

async function decode(host: Host, input: string, output: string, flags: CodecFlags): Promise<void> {
  const { codebooks, frames, codes } = await parseInput(input, readCodes);
  if (frames === 0) throw new CliError(ExitCode.input, `${input} holds no frames: encode a longer recording`);
  await checkOutput(output);
  const startedAt = performance.now();
  const pcm = await withCodec(host, flags, async (codec) => {
    if (codebooks > codec.codebooks) {
      throw new CliError(
        ExitCode.input,
        `${input} has ${codebooks} codebooks, the model ${codec.codebooks}: give its own model`,
      );
    }
    return await codec.decode(codes, codebooks);
  });
  await writeOutput(output, writeWav(pcm));
  report(host, flags, { input, output, codebooks, frames, ...took(pcm.length, startedAt) });
}

async function withCodec<T>(host: Host, flags: CodecFlags, work: (codec: Codec) => Promise<T>): Promise<T> {
  const codec = await loadCodec(host, { model: flags.model, threads: flags.threads });
  try {
    return await unlessAborted(host.signal, work(codec));
  } finally {
    codec.close();
  }
}

function took(samples: number, startedAt: number): { seconds: number; elapsedSeconds: number } {
  const seconds = Math.round((samples / SAMPLE_RATE) * 1000) / 1000;
  return { seconds, elapsedSeconds: Math.round(performance.now() - startedAt) / 1000 };
}

function report(
  host: Host,
  flags: CodecFlags,
  summary: Record<'input' | 'output', string> & Record<'codebooks' | 'frames' | 'seconds' | 'elapsedSeconds', number>,
): void {
  const { output, codebooks, frames, seconds, elapsedSeconds } = summary;
  const words = `${output}: ${seconds} s, ${frames} frames of ${codebooks} codes, in ${elapsedSeconds} s\n`;
  host.stdout.write(flags.json ? `${JSON.stringify(summary)}\n` : words);
}

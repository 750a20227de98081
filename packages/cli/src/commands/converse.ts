import { resolve } from 'node:path';
import { MoshiError } from '@moshi/client';
import { SAMPLE_RATE } from '@moshi/protocol';
import { readWav, resample, type WavAudio, writeWav } from '@moshi/protocol/audio';
import { createServer, type Engine, loopbackEngine } from '@moshi/server';
import { type Command, Option } from 'commander';
import { type Conversation, type ConversationOptions, holdConversation } from '../conversation';
import { CliError, ExitCode, stage } from '../exit';
import { checkOutput, parseInput, writeOutput } from '../files';
import type { Host } from '../host';
import { loadEngine } from '../loading';
import { ProgressBar } from '../progress';
import { toText, toWords } from '../transcript';
import {
  addModelOptions,
  addPersonaOptions,
  addServerOptions,
  MODEL_FLAGS,
  MODEL_HELP,
  type ModelFlags,
  modelFlags,
  type TalkFlags,
  talkOptions,
  whole,
  within,
} from './options';

interface ConverseFlags extends ModelFlags, TalkFlags {
  url?: string;
  model?: string;
  engine?: 'native' | 'loopback';
  threads?: number;
  text?: string;
  tail: number;
  say?: string[];
  json?: boolean;
}

/** Adds `moshi converse`. */
export function addConverse(program: Command, host: Host): void {
  const command = program
    .command('converse')
    .summary('play a recording to a model and store what it answers')
    .description(
      'Plays IN.wav to a model, as fast as it can answer, and stores its side of the conversation as OUT.wav: 24 kHz, ' +
        'as long as the input, aligned with it in time. Without --url the model runs in this process.',
    )
    .argument('<in.wav>', 'any WAV: PCM or float, 8 to 192 kHz, any number of channels (mixed to one)')
    .argument('<out.wav>', 'where the reply goes; an existing file is replaced when all went well')
    .option('--url <address>', 'server to talk to, such as ws://localhost:8998')
    .option('--model <model>', MODEL_HELP)
    .addOption(
      new Option('--engine <engine>', 'loopback: no model, an echo that tests the path').choices([
        'native',
        'loopback',
      ]),
    );
  addModelOptions(command)
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--text <out.json>', 'store the transcript: text, words with times, fragments, model, seed, metrics')
    .option('--tail <seconds>', 'silence after the input, time for the model to finish', within(0, 3600), 0);
  addPersonaOptions(command, 'random, reported')
    .option(
      '--say <text>',
      'let the model speak this, in its own voice; may be given several times. What does not fit beside the input makes OUT.wav longer',
      (text: string, before: string[] = []) => [...before, text],
    )
    .option('--say-only', 'the model says nothing but what --say gives it');
  addServerOptions(command)
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi converse question.wav answer.wav --tail 5 --text answer.json --seed 1')
    .action((input: string, output: string, flags: ConverseFlags) => converse(host, input, output, flags));
}

async function converse(host: Host, input: string, output: string, flags: ConverseFlags): Promise<void> {
  const own = [flags.model, flags.engine, flags.threads, ...Object.values(modelFlags(flags))];
  if (flags.url !== undefined && own.some((value) => value !== undefined)) {
    throw new CliError(
      ExitCode.usage,
      `--url is for a running server: leave out --model, --engine, --threads, ${MODEL_FLAGS}`,
    );
  }
  if (flags.engine === 'loopback' && (flags.say || flags.sayOnly || Object.keys(modelFlags(flags)).length > 0)) {
    throw new CliError(ExitCode.usage, `--engine loopback has no model: leave out --say, --say-only, ${MODEL_FLAGS}`);
  }
  if (flags.say?.some((text) => text.trim() === '')) throw new CliError(ExitCode.usage, '--say needs words to speak');
  if (flags.text !== undefined && resolve(flags.text) === resolve(output)) {
    throw new CliError(ExitCode.usage, '--text and OUT.wav are the same file: give the transcript a name of its own');
  }
  const asked = talkOptions(flags);
  const wav = await parseInput(input, readWav);
  if (wav.pcm.length === 0) throw new CliError(ExitCode.input, `${input} has no sound in it: record it again`);
  for (const path of [output, ...(flags.text === undefined ? [] : [flags.text])]) await checkOutput(path);
  const pcm = prepare(wav, flags.tail);
  const seed = flags.seed ?? Math.floor(Math.random() * 2 ** 32);

  const startedAt = performance.now();
  let readyAt = startedAt;
  const bar = new ProgressBar(host.stderr);
  const seconds = pcm.length / SAMPLE_RATE;
  const options: ConversationOptions = {
    ...asked,
    ...(flags.say && { say: flags.say }),
    seed,
    signal: host.signal,
    onReady: () => {
      readyAt = performance.now();
    },
    onProgress: (done) => bar.update('talking', Math.min(done, seconds), seconds, `${done.toFixed(1)} s`),
  };
  let result: Conversation;
  try {
    result = await talk(host, flags, pcm, options);
  } finally {
    bar.clear();
  }
  const elapsedSeconds = round((performance.now() - readyAt) / 1000);
  const heard = result.pcm.length / SAMPLE_RATE;
  const transcript = describe(result, seed, Math.ceil(heard / 0.08));
  await writeOutput(output, writeWav(result.pcm));
  if (flags.text !== undefined) await writeOutput(flags.text, `${JSON.stringify(transcript, null, 2)}\n`);

  const summary = {
    input,
    output,
    ...(flags.text !== undefined && { transcript: flags.text }),
    seconds: round(heard),
    elapsedSeconds,
    timesRealTime: round(heard / Math.max(elapsedSeconds, 0.001)),
    ...transcript,
  };
  host.stdout.write(flags.json ? `${JSON.stringify(summary)}\n` : inWords(summary));
}

function prepare(wav: WavAudio, tailSeconds: number): Float32Array {
  const sound = resample(wav.pcm, wav.sampleRate, SAMPLE_RATE);
  const pcm = new Float32Array(sound.length + Math.round(tailSeconds * SAMPLE_RATE));
  pcm.set(sound);
  return pcm;
}

/** Our own model is surely at work while it reads its prompts, however slow this machine is. */
const PROMPTS_MS = 3_600_000;

/** Talks to the server at `--url`, or to one of our own around the chosen engine: the path is the same. */
async function talk(
  host: Host,
  flags: ConverseFlags,
  pcm: Float32Array,
  options: ConversationOptions,
): Promise<Conversation> {
  if (flags.url !== undefined) return await connected(flags.url, pcm, options);
  const loopback = flags.engine === 'loopback';
  const engine = loopback
    ? loopbackEngine({ slots: 1 })
    : await loadEngine(host, { model: flags.model, threads: flags.threads, slots: 1, ...modelFlags(flags) });
  try {
    const measured = measureDelay(engine);
    const server = await createServer({ engine: measured.engine, port: 0 });
    try {
      const own = { delayFrames: measured.delayFrames, handshakeTimeoutMs: PROMPTS_MS };
      // Our own server needs no voice, which `auto` would fill in for NVIDIA's.
      return await connected(server.url, pcm, { dialect: 'moshi', ...definedOnly(options), ...own });
    } finally {
      await server.close();
    }
  } finally {
    await engine.close();
  }
}

function definedOnly<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** Failures before the server is ready have another exit status than those after. */
async function connected(url: string, pcm: Float32Array, options: ConversationOptions): Promise<Conversation> {
  let ready = false;
  const onReady = () => {
    ready = true;
    options.onReady?.();
  };
  try {
    return await holdConversation(url, pcm, { ...options, onReady });
  } catch (error) {
    const isUsage = error instanceof MoshiError && error.code === 'bad-option';
    const isRefused = error instanceof MoshiError && error.code === 'unsupported';
    const status = isUsage ? ExitCode.usage : ready && !isRefused ? ExitCode.failed : ExitCode.connection;
    return await stage(status, () => Promise.reject(error));
  }
}

/** Sees which step of the engine is the first with audio: so much later does the reply begin. */
function measureDelay(engine: Engine): { engine: Engine; delayFrames: () => number | undefined } {
  let steps: number | undefined;
  const open: Engine['open'] = async (options) => {
    const session = await engine.open(options);
    session.on('frame', ({ pcm, step }) => {
      if (pcm) steps ??= step;
    });
    return session;
  };
  const voices = async () => (await engine.voices?.()) ?? [];
  return { engine: { info: engine.info, open, voices, close: () => engine.close() }, delayFrames: () => steps };
}

function describe({ fragments, said, metadata, metrics }: Conversation, seed: number, frames: number) {
  const { model, trained, lm_model_file: file } = metadata ?? {};
  return {
    text: toText(fragments),
    words: toWords(fragments),
    fragments,
    ...(said.length > 0 && { said }),
    model: typeof model === 'string' ? model : typeof file === 'string' ? file : null,
    trained: typeof trained === 'boolean' ? trained : null,
    seed,
    frames,
    metrics: metrics ?? null,
  };
}

function inWords(
  summary: ReturnType<typeof describe> &
    Record<'seconds' | 'elapsedSeconds' | 'timesRealTime', number> & { output: string },
): string {
  const { output, seconds, elapsedSeconds, timesRealTime, words, model, seed, trained, text } = summary;
  const said =
    text === '' ? 'no words' : `${words.length} words: ${text.length > 200 ? `${text.slice(0, 200)}…` : text}`;
  const cut = summary.said?.some(({ completed }) => !completed) ? '\nNot everything of --say was spoken.' : '';
  const note = trained === false ? '\nThis model is untrained: it babbles. Give --model for one that speaks.' : '';
  return (
    `${output}: ${seconds} s in ${elapsedSeconds} s (${timesRealTime} times real time), model ${model ?? 'unknown'}, ` +
    `seed ${seed}\n${said}${cut}${note}\n`
  );
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

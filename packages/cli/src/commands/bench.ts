import type { Engine, EngineFrame, EngineSession } from '@moshi/server';
import type { Command } from 'commander';
import { CliError, ExitCode, stage } from '../exit';
import type { Host } from '../host';
import { loadEngine, unlessAborted } from '../loading';
import { MODEL_HELP, whole } from './options';

/** What `moshi bench --json` prints; times in milliseconds. */
export interface BenchReport {
  readonly model: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** Conversations stepped together. */
  readonly sessions: number;
  /** Medians over the frames of one conversation; `total` is the wall time of one frame of all conversations. */
  readonly frame: {
    readonly encode: number;
    readonly lm: number;
    readonly decode: number;
    readonly total: number;
    /** 80 ms over `total`: above 1 the conversations are held. */
    readonly timesRealTime: number;
  };
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

interface BenchFlags {
  model?: string;
  voices?: string;
  voice?: string;
  prompt: string;
  frames: number;
  sessions: number;
  threads?: number;
  json?: boolean;
}

const FRAME_SAMPLES = 1920;
const FRAME_MS = 80;

/** Adds `moshi bench`. */
export function addBench(program: Command, host: Host): void {
  program
    .command('bench')
    .summary('measure how fast a model runs here')
    .description(
      'Measures a frame of conversation, and how long a persona takes until its caller is answered. Machines differ: compare the ratios.',
    )
    .option('--model <model>', MODEL_HELP)
    .option('--sessions <n>', 'conversations stepped together', whole(1, 256), 1)
    .option('--frames <n>', 'frames of 80 ms to measure', whole(1, 100_000), 50)
    .option('--voices <path>', 'folder of voices, or a voices.tgz')
    .option('--voice <name>', 'voice of the persona')
    .option(
      '--prompt <text>',
      'role of the persona',
      'You are a wise and friendly teacher. Answer questions or provide advice in a clear and engaging way.',
    )
    .option('--threads <n>', 'threads of the model', whole(1, 256))
    .option('--json', 'print one JSON object in place of words')
    .addHelpText('after', '\nExample:\n  $ moshi bench --model nvidia/personaplex-7b-v1 --voice NATF2')
    .action((flags: BenchFlags) => bench(host, flags));
}

async function bench(host: Host, flags: BenchFlags): Promise<void> {
  const { model, threads, voices, sessions } = flags;
  const engine = await loadEngine(host, { model, threads, voices, slots: sessions });
  try {
    const report: BenchReport = {
      model: engine.info.model,
      details: engine.info.details,
      sessions,
      frame: await unlessAborted(host.signal, timeFrames(engine, flags)),
      persona: await unlessAborted(host.signal, timePersona(engine, flags)),
    };
    host.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : inWords(report));
  } finally {
    await engine.close();
  }
}

async function timeFrames(engine: Engine, { frames, sessions }: BenchFlags): Promise<BenchReport['frame']> {
  const open = await Promise.all(Array.from({ length: sessions }, () => engine.open({ seed: 1 })));
  const warmUp = 5;
  const timings: EngineFrame['timing'][] = [];
  const totals: number[] = [];
  for (let i = 0; i < warmUp + frames; i++) {
    const startedAt = performance.now();
    const answers = await Promise.all(open.map((session) => step(session, noise(i))));
    if (i < warmUp) continue;
    totals.push(performance.now() - startedAt);
    timings.push(answers[0]!.timing);
  }
  await Promise.all(open.map((session) => session.close()));
  const total = median(totals);
  return {
    encode: median(timings.map(({ encodeMs }) => encodeMs)),
    lm: median(timings.map(({ lmMs }) => lmMs)),
    decode: median(timings.map(({ decodeMs }) => decodeMs)),
    total,
    timesRealTime: FRAME_MS / total,
  };
}

function step(session: EngineSession, pcm: Float32Array): Promise<EngineFrame> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void) => {
      session.off('frame', onFrame);
      session.off('error', onError);
      settle();
    };
    const onFrame = (frame: EngineFrame) => done(() => resolve(frame));
    const onError = (error: Error) => done(() => reject(error));
    session.on('frame', onFrame);
    session.on('error', onError);
    session.push(pcm);
  });
}

async function timePersona(engine: Engine, { voice, prompt }: BenchFlags): Promise<BenchReport['persona']> {
  if (!('timePersona' in engine) || engine.info.dialect !== 'personaplex') {
    if (voice !== undefined)
      throw new CliError(ExitCode.usage, `${engine.info.model} knows no voices: leave out --voice`);
    return null;
  }
  const timed = engine as Engine & {
    timePersona(persona: { voice?: string; prompt: string }): Promise<{
      steps: number;
      steppedMs: number;
      readMs: number;
      copiedMs: number;
    }>;
  };
  const times = await stage(ExitCode.usage, () => timed.timePersona({ voice, prompt }));
  return { steps: times.steps, stepped: times.steppedMs, read: times.readMs, copied: times.copiedMs };
}

/** A frame of quiet noise, the same for the same index. */
function noise(index: number): Float32Array {
  let state = index + 1;
  return Float32Array.from({ length: FRAME_SAMPLES }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 0.1;
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

function inWords({ model, details, sessions, frame, persona }: BenchReport): string {
  const ms = (value: number) => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
  const times = (ratio: number) => `${ratio.toFixed(ratio < 10 ? 1 : 0)} times`;
  const lines: [string, string][] = [
    ['model', `${model} on ${details.backend ?? 'this machine'}, ${details.threads ?? '?'} threads`],
    [
      'frame',
      `${ms(frame.total)} of ${FRAME_MS} ms for ${sessions} at a time: ${times(frame.timesRealTime)} real time ` +
        `(encode ${ms(frame.encode)}, model ${ms(frame.lm)}, decode ${ms(frame.decode)})`,
    ],
  ];
  if (persona && persona.steps > 0) {
    lines.push([
      'persona',
      `${persona.steps} steps: ${ms(persona.stepped)} one by one; ${ms(persona.read)} read at once, ` +
        `${times(persona.stepped / persona.read)} faster; ${ms(persona.copied)} for the next caller, ` +
        `${times(persona.stepped / persona.copied)} faster`,
    ]);
  }
  return lines.map(([name, value]) => `${name.padEnd(9)}${value}\n`).join('');
}

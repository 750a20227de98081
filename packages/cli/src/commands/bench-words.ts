import type { BenchStage } from '@moshi/engine-cuda';
import type { BenchReport } from './bench';

type Frames = NonNullable<BenchReport['lm']>['frames'][number];

const FRAME_MS = 80;
const BAR = 32;

const STAGES: Record<BenchStage['stage'], string> = {
  embeddings: 'embeddings',
  temporal: 'temporal',
  textHead: 'text head',
  depth: 'depth',
  sampling: 'sampling',
  convolutions: 'convolutions',
  transformer: 'transformer',
  quantizer: 'quantizer',
};

/** A bench's report for people: tables, and for each frame bars as long as its stages took. */
export function benchInWords(report: BenchReport): string {
  const { gpu, read, core, lm, layers, codec, persona } = report;
  const aside = [`before ${read.before.best.toFixed(1)}`, `after ${read.after.best.toFixed(1)}`];
  if (read.oneThread) aside.push(`on one thread ${read.oneThread.best.toFixed(1)}`);
  const lines = [
    row('model', [report.model, lm && `${lm.weights} weights, ${lm.kv} attention`].filter(Boolean).join(', ')),
    row('runs on', gpu ? `${gpu.name}, ${report.backend}` : `${report.backend}, ${count(report.threads, 'thread')}`),
    row('memory', `${read.gbps.toFixed(1)} GB/s ${gpu ? 'copied' : 'read'} plainly (${aside.join(', ')})`),
  ];
  if (gpu) lines.push(row('graphs', gpu.graphs));
  if (gpu?.oneLaunch) {
    const { used, ms: together, apartMs } = gpu.oneLaunch;
    const kept = used ? 'small layers in one' : 'one for each layer';
    lines.push(
      row('launches', `${kept}: a step takes ${ms(together)} with small layers in one, ${ms(apartMs)} without`),
    );
  }
  if (core) lines.push(row('core', `${core.gflops.toFixed(0)} GFLOP/s of multiply-adds`));
  if (lm) {
    const peak = lm.peakBytes === null ? '' : `, ${gigabytes(lm.peakBytes)} at most meanwhile`;
    lines.push(row('loaded', `${gigabytes(lm.packedBytes)} in ${(lm.loadMs / 1000).toFixed(1)} s${peak}`));
  }
  if (layers.length > 0) lines.push('', 'linear layers of a 7B   GB/s  of reading  8 rows');
  for (const { type, gbps, ofRead, eightRows } of layers) {
    lines.push(
      `  ${type.padEnd(20)}${right(gbps.toFixed(1), 6)}${right(ofRead.toFixed(2), 12)}${right(`${eightRows.toFixed(1)}x`, 8)}`,
    );
  }
  for (const frames of lm?.frames ?? []) lines.push('', ...frameLines(frames));
  for (const { threads, encode, decode, gflops, ofPeak, encodeStages, decodeStages } of codec) {
    const stages = [
      ...encodeStages.map((one) => ({ ...one, side: 'encode ' })),
      ...decodeStages.map((one) => ({ ...one, side: 'decode ' })),
    ];
    const convolutions =
      gflops === null || ofPeak === null
        ? ''
        : `; convolutions ${gflops.toFixed(0)} GFLOP/s, ${ofPeak.toFixed(2)} of the best`;
    lines.push(
      '',
      `codec alone on ${gpu ? 'the GPU' : count(threads, 'thread')}: encode ${ms(encode)}, decode ${ms(decode)}${convolutions}`,
      ...bars(stages.map((one) => ({ name: one.side + stageName(one), ms: one.ms, note: '' }))),
    );
  }
  if (persona && persona.steps > 0) {
    lines.push(
      '',
      row(
        'persona',
        `${persona.steps} steps: ${ms(persona.stepped)} one by one; ${ms(persona.read)} read at once, ` +
          `${times(persona.stepped / persona.read)} faster; ${ms(persona.copied)} for the next caller, ` +
          `${times(persona.stepped / persona.copied)} faster`,
      ),
    );
  }
  return `${lines.join('\n')}\n`;
}

function frameLines(frames: Frames): string[] {
  const { sessions, position, total, holds, encode, lm, decode, gbps, ofRead, overFewest } = frames;
  const verdict = holds ? 'held' : 'not held';
  const fewest = overFewest === 1 ? '' : `; ${overFewest.toFixed(2)} times as long as the fewest`;
  const bytes = `${gigabytes(frames.weightBytes)} of weights and ${gigabytes(frames.kvBytes)} of attention`;
  return [
    `${count(sessions, 'conversation')} at ${position}: ${ms(total)} of ${FRAME_MS} ms, ` +
      `${frames.framesPerSecond.toFixed(1)} frames a second: ${verdict}`,
    ...bars([
      { name: 'encode', ms: encode, note: '' },
      ...frames.stages.map((one) => ({
        name: stageName(one),
        ms: one.ms,
        note: one.bytes > 0 && one.kind !== 'rest' ? `${one.gbps.toFixed(1)} GB/s` : '',
      })),
      { name: 'decode', ms: decode, note: '' },
    ]),
    `  the model: ${ms(lm)} for ${bytes}, ${gbps.toFixed(1)} GB/s, ${ofRead.toFixed(2)} of reading${fewest}`,
  ];
}

function stageName({ stage, kind }: BenchStage): string {
  const alone = stage === 'embeddings' || stage === 'sampling';
  return alone && kind === 'rest' ? STAGES[stage] : `${STAGES[stage]}, ${kind}`;
}

/** One line for each, its bar as long as its time. */
function bars(stages: readonly { name: string; ms: number; note: string }[]): string[] {
  const longest = Math.max(...stages.map((one) => one.ms), Number.MIN_VALUE);
  return stages.map(({ name, ms: time, note }) => {
    const bar = '█'.repeat(Math.round((time / longest) * BAR)) || '▏';
    return `  ${name.padEnd(30)}${right(ms(time), 10)}  ${note === '' ? bar : `${bar.padEnd(BAR)}  ${note}`}`;
  });
}

function row(name: string, value: string): string {
  return `${name.padEnd(9)}${value}`;
}

function right(text: string, width: number): string {
  return text.padStart(width);
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`;
}

function times(ratio: number): string {
  return `${ratio.toFixed(ratio < 10 ? 1 : 0)} times`;
}

function gigabytes(bytes: number): string {
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

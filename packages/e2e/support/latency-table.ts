import type { PageMarks } from '../test/latency.entry';
import type { EngineMarks } from './timed-engine';

/** One stage of the way, in milliseconds. */
export interface Stage {
  readonly name: string;
  readonly median: number;
  readonly p95: number;
}

/** Samples at 24 kHz in a millisecond. */
const PER_MS = 24;
const PAGE = 960;
const FRAME = 1920;

/** The way of each frame, stage by stage. Marks of page and engine are on one clock. */
export function stages(page: PageMarks, engine: EngineMarks): Stage[] {
  const rows: Record<string, number[]> = {
    'microphone block to page': page.captureMs,
    'resampling, encoding, socket': page.sends.map(({ workMs }) => workMs),
    'rest of the page a frame ends in': [],
    'network and decoding to engine': [],
    'engine (loopback)': [],
    'encoding, network to page': [],
    'decoding in the page': [],
    'jitter buffer and output': [],
  };
  const add = (name: string, value: number | undefined) => void (value !== undefined && rows[name]?.push(value));
  for (const [n, pushed] of engine.pushes.entries()) {
    // The page that completed the frame is the last one sent before it.
    const sent = page.sends.filter(({ at }) => at <= pushed).length;
    const trigger = page.sends[sent - 1];
    const answered = engine.answers[n];
    if (!trigger || answered === undefined) continue;
    add('rest of the page a frame ends in', (sent * PAGE - (n + 1) * FRAME) / PER_MS);
    add('network and decoding to engine', pushed - trigger.at);
    add('engine (loopback)', answered - pushed);
    const frame = page.frames[n];
    const received = frame && page.receives.filter((at) => at <= frame.at).at(-1);
    if (!frame || received === undefined) continue;
    add('encoding, network to page', received - answered);
    add('decoding in the page', frame.at - received);
    add('jitter buffer and output', frame.heardAt && frame.heardAt - frame.at);
  }
  return Object.entries(rows).map(([name, values]) => summary(name, values));
}

/** Median and 95th percentile. */
export function summary(name: string, values: readonly number[]): Stage {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { name, median: at(0.5), p95: at(0.95) };
}

/** As lines of a Markdown table. */
export function table(rows: readonly Stage[]): string {
  const line = ({ name, median, p95 }: Stage) => `| ${name} | ${median.toFixed(1)} | ${p95.toFixed(1)} |`;
  return ['| stage | median ms | p95 ms |', '|---|---|---|', ...rows.map(line)].join('\n');
}

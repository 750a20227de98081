// What scripts/gpu.mjs reports: the points it measures, what is asked of them, and the tables of a run.

const PERSONAPLEX = 'synthetic:personaplex-7b';

/** `frame` is the most milliseconds that a frame may take, sound to sound, by the number of sessions. */
export const POINTS = [
  { name: 'PersonaPlex bf16', model: PERSONAPLEX, weights: 'bf16', kv: 'f16', sessions: [1], frame: { 1: 4.5 } },
  {
    ...{ name: 'PersonaPlex q8', model: PERSONAPLEX, weights: 'q8', kv: 'f16', sessions: [1], frame: { 1: 2.8 } },
    layers: true,
  },
  { name: 'PersonaPlex mixed', model: PERSONAPLEX, weights: 'mixed', kv: 'f16', sessions: [1], frame: { 1: 2.2 } },
  {
    ...{ name: 'PersonaPlex q8, KV q8', model: PERSONAPLEX, weights: 'q8', kv: 'q8' },
    ...{ sessions: [1, 8, 32, 128], frame: { 128: 60 } },
  },
  { name: 'Mimi', model: 'synthetic:mimi', weights: 'auto', kv: 'auto', sessions: [1], frame: {} },
];
/** Of models for tests, to try the script itself. */
export const SMALL_POINTS = [
  { name: 'tiny', model: 'synthetic:tiny', weights: 'q8', kv: 'f16', sessions: [1, 2], frame: {}, frames: 2 },
];
export const POSITION = 1500;

/** Rows of one point: of frames at each number of sessions, or of the codec alone. */
export function rows(point, report) {
  if (!report.lm) {
    const [{ encode, decode }] = report.codec;
    return [{ point: point.name, sessions: 1, encode, lm: null, decode, frame: encode + decode, target: null }];
  }
  return report.lm.frames.map(({ sessions, encode, lm, decode, total, ofRead, gbps, overFewest }) => {
    const target = point.frame[sessions] ?? null;
    return {
      ...{ point: point.name, sessions, encode, lm, decode, frame: total },
      // What reading the same bytes would have taken, as fast as the GPU copies.
      floor: lm * ofRead,
      overFloor: 1 / ofRead,
      overFewest,
      gbps,
      target,
      targetOverFloor: target === null ? null : target / (lm * ofRead),
      met: target === null ? null : total <= target,
    };
  });
}

/** A session's groups without the largest, or none when nothing is left to leave out. */
export function fewer(sessions) {
  return sessions.length > 1 ? sessions.slice(0, -1) : undefined;
}

/** What `parity` printed: checks and failures, and the rows that fell short. */
export function parityOf(output) {
  const [, checks, backend, failed] = /^(\d+) checks on (\S+), (\d+) failed$/m.exec(output) ?? [];
  if (checks === undefined) return undefined;
  return {
    backend,
    checks: Number(checks),
    failed: Number(failed),
    rows: output.split('\n').filter((line) => line.startsWith('FAIL')),
    note: /^without (?:graphs|stages): .*$/m.exec(output)?.[0],
  };
}

const number = (value, digits = 2) => (value === null || value === undefined ? '–' : value.toFixed(digits));
const line = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, body) => [line(head), line(head.map(() => '---')), ...body.map(line)];

/** The whole run as Markdown. */
export function markdown({ machine, gpu, command, date, steps, benches }) {
  const out = [
    `# ${gpu.name ?? 'GPU'} (${gpu.device})`,
    '',
    `\`${command}\`, ${date}: ${machine.platform}, ${machine.cpu}, Node ${machine.node}; ` +
      `sm_${gpu.arch}, ${number(gpu.memory / 1e9, 1)} GB, driver ${gpu.driver || 'unknown'}, CUDA ${gpu.cuda || 'unknown'}; ` +
      `kernels: ${machine.kernels}`,
    '',
    ...table(
      ['step', 'result', 'seconds'],
      steps.map(({ name, result, seconds }) => [name, result, number(seconds, 1)]),
    ),
  ];
  const frames = benches.flatMap(({ rows: found }) => found);
  if (frames.length > 0) {
    out.push(
      '',
      ...table(
        ['point', 'sessions', 'encode', 'model', 'decode', 'frame', 'floor', 'model ÷ floor', '÷ fewest', 'target', ''],
        frames.map((row) => [
          ...[row.point, row.sessions, number(row.encode), number(row.lm), number(row.decode), number(row.frame)],
          ...[number(row.floor), number(row.overFloor), number(row.overFewest)],
          row.target === null ? '–' : `${row.target} (${number(row.targetOverFloor)} × floor)`,
          row.met === null || row.target === null ? '' : row.met ? 'met' : 'missed',
        ]),
      ),
      '',
      `Milliseconds, medians, at position ${POSITION}; copying: ${benches
        .map(({ name, copied }) => `${name} ${number(copied, 0)} GB/s`)
        .join(', ')}.`,
    );
  }
  const launched = benches.filter(({ report }) => report?.gpu?.oneLaunch);
  if (launched.length > 0) {
    out.push(
      '',
      ...table(
        ['a step of one session', 'small layers in one launch', 'launched apart', 'ratio', 'taken'],
        launched.map(({ name, report }) => {
          const { used, ms, apartMs } = report.gpu.oneLaunch;
          return [name, number(ms), number(apartMs), number(ms / apartMs), used ? 'one launch' : 'apart'];
        }),
      ),
    );
  }
  const layers = benches.flatMap(({ layers: found }) => found);
  if (layers.length > 0) {
    out.push(
      '',
      ...table(
        ['linear layers of a 7B', 'GB/s', 'of copying', '8 rows ÷ 1'],
        layers.map(({ type, gbps, ofRead, eightRows }) => [type, number(gbps, 0), number(ofRead), number(eightRows)]),
      ),
    );
  }
  return `${out.join('\n')}\n`;
}

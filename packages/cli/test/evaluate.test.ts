import { describe, expect, it } from 'vitest';
import type { EvaluateOptions, QualityReport, StreamQuality } from '../src/host';
import { fakeModels, moshi } from './support/command';

const stream: StreamQuality = {
  draws: 40,
  agreement: 0.975,
  divergence: 0.00123,
  rank: 1.05,
  perplexity: 8.35,
  referencePerplexity: 8.3,
};
const silent: StreamQuality = {
  draws: 0,
  agreement: null,
  divergence: null,
  rank: null,
  perplexity: null,
  referencePerplexity: null,
};
const report: QualityReport = {
  model: 'a/b',
  weights: 'q8',
  against: 'stored',
  kv: 'f32',
  recordings: 1,
  frames: 40,
  hidden: 0.99995,
  text: stream,
  words: silent,
  audio: [stream, { ...stream, agreement: 0.5 }],
  agreement: { text: 0.975, audio: 0.7375 },
};

function evaluated(argv: string[], result: Partial<QualityReport> = {}) {
  const seen: EvaluateOptions[] = [];
  const evaluate = async (options: EvaluateOptions) => {
    seen.push(options);
    options.onEvaluation?.({ stage: 'tested', done: 1, all: 2 });
    return { ...report, ...result };
  };
  const outcome = moshi(['eval', '--audio', 'some/folder', ...argv], { models: async () => fakeModels({ evaluate }) });
  return outcome.then((out) => ({ ...out, options: seen[0]! }));
}

describe('eval', () => {
  it('prints a row for every stream', async () => {
    const { status, stdout, stderr } = await evaluated([]);
    expect(status).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain('a/b: q8 against stored, 40 frames of 1 recording\n');
    expect(stdout).toMatch(/^hidden +0\.999950 cosine$/m);
    expect(stdout).toMatch(/^text +97\.5 % +0\.00123 +1\.05 +8\.35 \(8\.30\)$/m);
    expect(stdout).toMatch(/^words +– +no tokens$/m);
    expect(stdout).toMatch(/^codes 2 +50\.0 %/m);
    expect((await evaluated([], { kv: 'q8', recordings: 3 })).stdout).toContain(
      'q8, attention over q8 against stored, 40 frames of 3 recordings',
    );
    expect((await evaluated([], { hidden: null })).stdout).toMatch(/^hidden +– cosine$/m);
  });

  it('passes its options on', async () => {
    const plain = await evaluated([]);
    expect(plain.options).toMatchObject({
      audio: 'some/folder',
      weights: 'auto',
      against: 'stored',
      kv: 'f32',
      frames: 500,
    });
    const argv = ['--model', 'm', '--weights', 'q4', '--against', './other', '--kv', 'q8', '--frames', '7'];
    const { options } = await evaluated([...argv, '--threads', '3', '--lora', 'x']);
    const all = { model: 'm', weights: 'q4', against: './other', kv: 'q8', frames: 7, threads: 3, lora: 'x' };
    expect(options).toMatchObject(all);
    expect(options.signal).toBeInstanceOf(AbortSignal);
  });

  it('prints JSON, also when a threshold is missed', async () => {
    const { status, stdout, stderr } = await evaluated(['--json', '--min-agreement', '0.9']);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual(report);
    expect(stderr).toBe('moshi: less agreement than --min-agreement 0.9: sound in 0.7375; use weights of more bits\n');
  });

  it('holds thresholds against text and sound', async () => {
    expect((await evaluated(['--min-agreement', '0.73'])).status).toBe(0);
    expect((await evaluated(['--min-agreement', '0.99'])).stderr).toContain('text in 0.9750, sound in 0.7375');
    expect((await evaluated(['--min-agreement', '1'], { agreement: { text: 1, audio: 1 } })).status).toBe(0);
    const deaf = { audio: [], agreement: { text: 0.95, audio: null } };
    expect((await evaluated(['--min-agreement', '0.95'], deaf)).status).toBe(0);
    expect((await evaluated(['--min-agreement', '0.96'], deaf)).status).toBe(1);
  });

  it('gives bad options and bad models their status', async () => {
    const failing = (code: string) =>
      moshi(['eval', '--audio', 'x'], {
        models: async () =>
          fakeModels({ evaluate: async () => Promise.reject(Object.assign(new Error('no good'), { code })) }),
      });
    expect(await failing('ENGINE_BAD_OPTION')).toMatchObject({ status: 2, stdout: '', stderr: 'moshi: no good\n' });
    expect(await failing('ENGINE_BAD_MODEL')).toMatchObject({ status: 5 });
  });
});

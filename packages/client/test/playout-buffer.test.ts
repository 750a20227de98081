import { describe, expect, it } from 'vitest';
import { PlayoutBuffer } from '../src/playout/playout-buffer';
import { type Trace, traces } from './support/playout-traces';
import { lcg } from './support/signal';
import { WebPlayout, webPlayoutRules } from './support/web-playout';

const RATE = 8000;
const BLOCK = 32;
/** As in a browser no divisor of a frame. */
const ODD_BLOCK = 21;
const samples = (ms: number) => Math.round((ms * RATE) / 1000);
const ramp = (from: number, count: number) => Float32Array.from({ length: count }, (_, i) => (from + i) / (1 << 23));

/** Talk of words and pauses: 0.4 s of tone, 0.3 s of hiss. */
const talkPeriod = Float32Array.from({ length: 0.7 * RATE }, (_, at) => {
  const t = at / RATE;
  return t < 0.4 ? 0.2 * Math.sin(2 * Math.PI * 200 * t) : 0.0005 * Math.sin(2 * Math.PI * 3000 * t);
});
const talk = (at: number) => talkPeriod[at % talkPeriod.length]!;

function pullMs(buffer: PlayoutBuffer, ms: number): Float32Array {
  const out = new Float32Array(Math.ceil(samples(ms) / BLOCK) * BLOCK);
  for (let at = 0; at < out.length; at += BLOCK) buffer.pull(out.subarray(at, at + BLOCK));
  return out;
}

/** Plays a trace to its end, and for a second beyond. */
function play({ arrivals }: Trace, sample: (at: number) => number = talk) {
  const buffer = new PlayoutBuffer({ sampleRate: RATE });
  const baselines = [webPlayoutRules.published, webPlayoutRules.present].map((rules) => new WebPlayout(RATE, rules));
  const heard: number[] = [];
  const out = new Float32Array(ODD_BLOCK);
  let pushed = 0;
  let next = 0;
  let largestMs = 0;
  const endMs = arrivals[arrivals.length - 1]!.atMs;
  for (let now = 0; now <= endMs; now += (ODD_BLOCK / RATE) * 1000) {
    while (next < arrivals.length && arrivals[next]!.atMs <= now) {
      const count = samples(arrivals[next++]!.ms);
      buffer.push(
        Float32Array.from({ length: count }, (_, i) => sample(pushed + i)),
        pushed / RATE,
        now,
      );
      pushed += count;
      for (const baseline of baselines) baseline.push(count);
    }
    buffer.pull(out);
    heard.push(...out);
    for (const baseline of baselines) baseline.pull(ODD_BLOCK);
    largestMs = Math.max(largestMs, buffer.status.bufferedMs);
  }
  return { status: buffer.status, baselines, heard, pushed, largestMs };
}

describe('PlayoutBuffer', () => {
  it('begins when 80 ms are there and the margin has passed', () => {
    const buffer = new PlayoutBuffer({ sampleRate: RATE });
    expect(buffer.status).toMatchObject({ state: 'empty', time: undefined, bufferedMs: 0, targetMs: 90 });
    buffer.push(new Float32Array(samples(40)).fill(0.5), 7, 0);
    expect(buffer.status).toMatchObject({ state: 'filling', time: 7 });
    expect(pullMs(buffer, 30).every((sample) => sample === 0)).toBe(true);
    buffer.push(new Float32Array(samples(40)).fill(0.5), 7.04, 40);
    const heard = pullMs(buffer, 30);
    const first = heard.findIndex((sample) => sample !== 0);
    expect(first / (RATE / 1000)).toBeGreaterThanOrEqual(10);
    expect(first / (RATE / 1000)).toBeLessThan(16);
    expect(buffer.status).toMatchObject({ state: 'playing', underruns: 0, missedMs: 0 });
    expect(buffer.status.time).toBeCloseTo(7 + buffer.status.playedSeconds, 6);
  });

  it.each([1, 2, 3, 4, 5])('keeps order, plays nothing twice and accounts for every sample (seed %i)', (seed) => {
    const random = lcg(seed);
    const buffer = new PlayoutBuffer({ sampleRate: RATE, hardLimitMs: 200 + 800 * random() });
    let pushed = 0;
    let forgotten = 0;
    let loudest = 0;
    for (let now = 0; now < 60_000; ) {
      if (random() < 0.02) {
        forgotten += samples(buffer.status.bufferedMs);
        buffer.clear();
      }
      for (let burst = Math.floor(random() * 4); burst > 0; burst--) {
        const count = Math.floor(random() * samples(120));
        buffer.push(ramp(pushed, count), pushed / RATE, now);
        pushed += count;
      }
      const ms = random() * 250;
      const heard = pullMs(buffer, ms).reduce((most, sample) => Math.max(most, sample), 0);
      // A sample tells its own number; fades make it less, never more than where the buffer has come to.
      expect(heard * (1 << 23)).toBeLessThanOrEqual((buffer.status.time ?? 0) * RATE + 1);
      loudest = Math.max(loudest, heard);
      now += ms;
      const { playedSeconds, trimmedMs, droppedMs, bufferedMs } = buffer.status;
      const accounted =
        playedSeconds * RATE + samples(trimmedMs) + samples(droppedMs) + samples(bufferedMs) + forgotten;
      expect(accounted).toBeCloseTo(pushed, 3);
    }
    expect(loudest).toBeGreaterThan(0.9 * (pushed / (1 << 23)));
  });

  it('plays what comes in time to the last bit', () => {
    const arrivals = Array.from({ length: 100 }, (_, i) => ({ atMs: i * 80, ms: 80 }));
    const { heard, status } = play({ name: 'perfect', arrivals });
    expect(status).toMatchObject({ underruns: 0, overflows: 0, trimmedMs: 0 });
    const begin = heard.findIndex((sample) => sample !== 0) - 1;
    const faded = samples(5);
    for (let i = faded; i < status.playedSeconds * RATE; i++) expect(heard[begin + i]).toBe(talk(i));
  });

  it('has no clicks at gaps, cuts, drops and clears', () => {
    // Loud at the edges of frames, where gaps are.
    const tone = (at: number) => 0.5 * Math.cos((2 * Math.PI * 50 * at) / RATE);
    const steepest = 0.5 * 2 * Math.PI * (50 / RATE);
    const largestStep = (pcm: ArrayLike<number>) => {
      let most = 0;
      for (let i = 1; i < pcm.length; i++) most = Math.max(most, Math.abs(pcm[i]! - pcm[i - 1]!));
      return most;
    };
    for (const trace of traces().filter(({ name }) => /stall|bursts|resumed/.test(name))) {
      expect(largestStep(play(trace, tone).heard), trace.name).toBeLessThan(4 * steepest);
    }
    const full = new PlayoutBuffer({ sampleRate: RATE, hardLimitMs: 100 });
    const push = (from: number, ms: number) =>
      full.push(
        Float32Array.from({ length: samples(ms) }, (_, i) => tone(samples(from) + i)),
        from / 1000,
        from,
      );
    push(0, 150);
    const before = pullMs(full, 60);
    push(150, 217);
    expect(largestStep([...before, ...pullMs(full, 60)])).toBeLessThan(4 * steepest);
    expect(full.status).toMatchObject({ state: 'playing', overflows: 1 });
    for (const ms of [1, 3, 7, 30]) {
      const buffer = new PlayoutBuffer({ sampleRate: RATE });
      buffer.push(
        Float32Array.from({ length: samples(400) }, (_, i) => tone(i)),
        0,
        0,
      );
      const before = pullMs(buffer, 40 + ms);
      buffer.clear();
      const heard = [...before, ...pullMs(buffer, 50)];
      expect(largestStep(heard), `cleared after ${ms} ms`).toBeLessThan(4 * steepest);
      expect(heard.slice(before.length + samples(10)).every((sample) => sample === 0)).toBe(true);
      expect(buffer.status).toMatchObject({ state: 'empty', bufferedMs: 0 });
    }
  });

  describe.each(traces())('on $name', (trace) => {
    it('misses and drops no more than the official page', () => {
      const { status, baselines, largestMs } = play(trace);
      for (const baseline of baselines) {
        expect(status.missedMs).toBeLessThanOrEqual((baseline.missed / RATE) * 1000 + 0.001);
        expect(status.droppedMs).toBeLessThanOrEqual((baseline.dropped / RATE) * 1000);
      }
      expect(largestMs).toBeLessThan(90 + 200 + 1500 + 80);
    });

    it('is back to little delay at the end', () => {
      const { status } = play(trace);
      expect(status.bufferedMs).toBeLessThan(status.targetMs + 80 + 60);
    });
  });

  it('loses no word of a stall of 1.4 s: it leaves out pauses', () => {
    const trace = traces().find(({ name }) => name === 'a resumed connection')!;
    const { status, heard } = play(trace);
    expect(status).toMatchObject({ underruns: 1, overflows: 0 });
    expect(status.trimmedMs).toBeGreaterThan(1000);
    // 0.4 s of every 0.7 s are tone: what is left out is not.
    const loud = heard.filter((sample) => Math.abs(sample) > 0.01).length;
    expect(loud / RATE).toBeGreaterThan(40 * (0.4 / 0.7) * 0.94);
  });

  it('cuts what is far too much at once', () => {
    const buffer = new PlayoutBuffer({ sampleRate: RATE, hardLimitMs: 500 });
    buffer.push(new Float32Array(samples(1000)).fill(0.3), 0, 0);
    expect(buffer.status).toMatchObject({ overflows: 1, bufferedMs: 90, droppedMs: 910 });
    expect(buffer.status.time).toBeCloseTo(0.91, 6);
  });

  it('takes what is late while everything begins for no habit of the network', () => {
    // Frames of 80 ms as a browser got them: its first half second went into compiling.
    const lateMs = [75, 419, 342, 432, 356, 337, 261, 237, 158, 138, 108, 71, 31];
    const arrivals = Array.from({ length: 150 }, (_, n) => ({ atMs: n * 80 + (lateMs[n] ?? (n % 3) * 5), ms: 80 }));
    for (let n = 1; n < arrivals.length; n++) {
      arrivals[n]!.atMs = Math.max(arrivals[n]!.atMs, arrivals[n - 1]!.atMs);
    }
    const { targetMs, bufferedMs } = play({ name: 'a beginning', arrivals }).status;
    expect(targetMs).toBeLessThan(130);
    expect(bufferedMs).toBeLessThan(260);
  });

  it('forgets a margin when the network is steady again', () => {
    const buffer = new PlayoutBuffer({ sampleRate: RATE });
    const random = lcg(3);
    const frame = new Float32Array(samples(80));
    let highest = 0;
    for (let i = 0; i < 4000; i++) {
      buffer.push(frame, i * 0.08, i * 80 + (i < 500 ? 70 * random() : 0));
      pullMs(buffer, 80);
      highest = Math.max(highest, buffer.status.targetMs);
    }
    expect(highest).toBeGreaterThan(140);
    expect(buffer.status.targetMs).toBeLessThan(highest - 40);
  });

  it('plays an end that is shorter than a beginning', () => {
    const buffer = new PlayoutBuffer({ sampleRate: RATE });
    buffer.push(new Float32Array(samples(40)).fill(0.5), 0, 0);
    expect(pullMs(buffer, 300).some((sample) => sample !== 0)).toBe(false);
    expect(pullMs(buffer, 300).filter((sample) => sample === 0.5).length).toBeGreaterThan(samples(30));
    expect(buffer.status).toMatchObject({ state: 'filling', underruns: 0, missedMs: 0, playedSeconds: 0.04 });
  });

  it('takes a jump in time for a mark, not a gap', () => {
    const buffer = new PlayoutBuffer({ sampleRate: RATE });
    buffer.push(new Float32Array(samples(80)), 1, 0);
    buffer.push(new Float32Array(samples(80)), 100, 0);
    while (buffer.status.playedSeconds === 0) pullMs(buffer, 2);
    const { playedSeconds } = buffer.status;
    expect(buffer.status.time).toBeCloseTo(1 + playedSeconds, 6);
    pullMs(buffer, 100);
    expect(buffer.status.time).toBeCloseTo(100 + buffer.status.playedSeconds - 0.08, 6);
    expect(buffer.status).toMatchObject({ underruns: 0, droppedMs: 0 });
  });

  it('refuses times that are none', () => {
    expect(() => new PlayoutBuffer({ sampleRate: 0 })).toThrow('sample rate of 0 Hz');
    expect(() => new PlayoutBuffer({ sampleRate: RATE, startMs: -1 })).toThrow('startMs is -1; it must be 0 to 60000');
    expect(() => new PlayoutBuffer({ sampleRate: RATE, marginMs: Number.NaN })).toThrow('marginMs is NaN');
  });
});

import { concat } from '@moshi/protocol/audio';
import { describe, expect, it, vi } from 'vitest';
import type { InputSink, MoshiError, OutputSink, OutputStatus } from '../src/index';
import { SoundMeter } from '../src/index';
import { compareEnvelopes, type FakeAudio, fakeAudio, speechLike, tone } from '../src/testing/index';

/** Opens the microphone and notes what it tells. */
async function listen(audio: FakeAudio, options: { deviceId?: string; muted?: boolean; source?: 'silence' } = {}) {
  const parts: Float32Array[] = [];
  const lost: MoshiError[] = [];
  const sink: InputSink = {
    samples: (pcm) => parts.push(pcm.slice()),
    lost: (error) => lost.push(error),
    interrupted: () => {},
  };
  const port = await audio.openInput({ muted: false, ...options }, sink);
  return { port, lost, heard: () => concat(parts) };
}

async function play(audio: FakeAudio, volume = 1) {
  const states: string[] = [];
  const statuses: OutputStatus[] = [];
  const lost: MoshiError[] = [];
  const sink: OutputSink = {
    state: (state) => states.push(state),
    status: (status) => statuses.push(status),
    lost: (error) => lost.push(error),
  };
  const port = await audio.openOutput({ volume, playout: {} }, sink);
  return { port, states, statuses, lost };
}

describe('a fake microphone', () => {
  it('hears what there is to hear while the test lets time pass, and then silence', async () => {
    const audio = fakeAudio({ microphone: tone(440, 0.1) });
    const { heard } = await listen(audio);
    expect(heard()).toHaveLength(0);
    await audio.advance(200);
    expect(heard()).toHaveLength(4800);
    expect(heard().subarray(0, 2400)).toEqual(tone(440, 0.1));
    expect(
      heard()
        .subarray(2400)
        .every((sample) => sample === 0),
    ).toBe(true);
  });

  it('of another rate hears the same', async () => {
    const words = speechLike(1);
    const audio = fakeAudio({ microphone: words, sampleRate: 48_000 });
    const { port, heard } = await listen(audio);
    await audio.advance(1000);
    expect(port.sampleRate).toBe(48_000);
    const every = heard().filter((_, i) => i % 2 === 0);
    expect(every.every((sample, i) => Math.abs(sample - words[i]!) < 0.02)).toBe(true);
  });

  it('muted or lost gives zeros at the same pace', async () => {
    const audio = fakeAudio({ microphone: tone(440, 1) });
    const { port, heard, lost } = await listen(audio, { muted: true });
    const told = vi.fn();
    audio.onDevices(told);
    await audio.advance(100);
    port.setMuted(false);
    await audio.advance(100);
    expect(port.level).toBeGreaterThan(0.7);
    audio.unplug();
    await audio.advance(100);
    expect(heard()).toHaveLength(7200);
    const loud = [0, 1, 2].map((i) =>
      heard()
        .subarray(i * 2400, (i + 1) * 2400)
        .some((sample) => sample !== 0),
    );
    expect(loud).toEqual([false, true, false]);
    expect(lost).toMatchObject([{ code: 'device-lost' }]);
    expect([port.device, port.level, told.mock.calls.length]).toEqual([undefined, 0, 1]);
  });

  it('is refused when the user says no, or there is none', async () => {
    const audio = fakeAudio();
    audio.deny();
    await expect(listen(audio)).rejects.toMatchObject({ code: 'permission-denied' });
    await listen(audio, { source: 'silence' });
    audio.allow();
    await expect(listen(audio, { deviceId: 'headset' })).rejects.toMatchObject({ code: 'no-device' });
    audio.plug({ id: 'headset', kind: 'input' });
    audio.unplug();
    expect((await audio.devices()).inputs).toEqual([
      { id: 'headset', label: 'headset', kind: 'input', isDefault: true },
    ]);
    const { port } = await listen(audio, { deviceId: 'headset' });
    expect(audio.openInputs).toBe(2);
    await port.close();
    expect(audio.openInputs).toBe(1);
    audio.unplug('headset');
    await expect(listen(audio)).rejects.toMatchObject({ code: 'no-device' });
  });
});

describe('a fake loudspeaker', () => {
  it('plays through the jitter buffer into what the test hears', async () => {
    const audio = fakeAudio();
    const { port, states, statuses } = await play(audio, 0.5);
    const words = speechLike(2, 5);
    for (let at = 0; at < words.length; at += 1920) {
      port.push(words.slice(at, at + 1920), at / 24_000);
      await audio.advance(80);
    }
    await audio.advance(500);
    expect(states).toEqual(['playing']);
    const { correlation, delayMs } = compareEnvelopes(words, audio.heard);
    expect(correlation).toBeGreaterThan(0.98);
    expect(delayMs).toBeGreaterThan(0);
    expect(Math.max(...audio.heard)).toBeCloseTo(Math.max(...words) / 2, 1);
    expect(statuses.some(({ state }) => state === 'playing')).toBe(true);
    const times = statuses.flatMap(({ time }) => time ?? []);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    await port.close();
    expect(audio.openOutputs).toBe(0);
  });

  it('waits for a click where it has to, and can be lost', async () => {
    const audio = fakeAudio();
    audio.blockAutoplay();
    const { port, states, lost } = await play(audio);
    port.push(tone(440, 0.4), 0);
    await audio.advance(200);
    expect(states).toEqual(['blocked']);
    expect(audio.heard.every((sample) => sample === 0)).toBe(true);
    await port.resume();
    await audio.advance(200);
    // As in a browser, where a context that stands still would save up what nobody is going to hear.
    expect(audio.heard.every((sample) => sample === 0)).toBe(true);
    port.push(tone(440, 0.4), 0.4);
    await audio.advance(200);
    expect(states).toEqual(['blocked', 'playing']);
    expect(Math.max(...audio.heard)).toBeGreaterThan(0.4);
    audio.unplug('loudspeaker');
    expect(lost).toMatchObject([{ code: 'device-lost' }]);
    await expect(play(audio)).rejects.toMatchObject({ code: 'no-device' });
  });
});

describe('SoundMeter', () => {
  it('shows how loud it is, from -60 to 0 dBFS', () => {
    const meter = new SoundMeter(24_000);
    expect(meter.level).toBe(0);
    meter.push(new Float32Array(1024).fill(1));
    expect(meter.level).toBe(1);
    // A sine's RMS is 3 dB below its peak: -33 dBFS.
    meter.push(tone(1000, 0.1, 10 ** -1.5));
    expect(meter.level).toBeCloseTo(27 / 60, 2);
    meter.clear();
    expect(meter.level).toBe(0);
  });

  it('shows where in the spectrum it is loud, at any rate', () => {
    for (const rate of [24_000, 48_000]) {
      const meter = new SoundMeter(rate);
      const bands = new Uint8Array(79);
      // Band 29 is 3000 to 3100 Hz.
      const pcm = Float32Array.from({ length: 2048 }, (_, i) => 0.01 * Math.sin((2 * Math.PI * 3050 * i) / rate));
      meter.push(pcm);
      meter.getByteFrequencyData(bands);
      expect(bands.indexOf(Math.max(...bands))).toBe(29);
      expect(bands[29]).toBeGreaterThan(150);
      expect(bands[60]).toBeLessThan(20);
    }
  });
});

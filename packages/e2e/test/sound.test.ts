import { fileURLToPath } from 'node:url';
import { compareEnvelopes, speechLike, tone } from '@moshi/client/testing';
import { concat, pcm16, readWav, resample, rms } from '@moshi/protocol/audio';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeInChromium, launch } from '../support/browser';
import { type HostedPage, hostPage } from '../support/page-host';
import { tap } from '../support/tap';
import { micWav } from '../support/wav';
import type {} from './sound.entry';

const entry = fileURLToPath(new URL('./sound.entry.ts', import.meta.url));
const WORDS = speechLike(4, 3);
/** As a device gives it: what it does to sound would change the words. */
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const fromText = (text: string) => Float32Array.from(text.split(','), (sample) => Number(sample) / 0x7fff);
const toNumbers = (pcm: Float32Array) => Array.from(pcm, (sample) => Math.round(sample * 0x7fff));
const to24k = (pcm: Float32Array, sampleRate: number) => resample(pcm, sampleRate, 24_000);

describeInChromium('sound in Chromium', () => {
  let browser: Browser;
  let host: HostedPage;
  let page: Page;
  const problems: string[] = [];
  beforeAll(async () => {
    browser = await launch({ microphone: await micWav(WORDS) });
    host = await hostPage({ entry });
  });
  afterAll(async () => {
    await browser?.close();
    await host?.close();
  });
  beforeEach(async () => {
    problems.length = 0;
    page = await browser.newPage();
    page.on('pageerror', (error) => problems.push(String(error)));
  });
  afterEach(async () => {
    await page.close();
    expect(problems).toEqual([]);
  });
  const open = async () => {
    await page.goto(host.url);
  };

  it('what the microphone hears is sent at 24 kHz, in real time', async () => {
    const listening = await tap(page);
    await open();
    const metrics = await page.evaluate(async (raw) => {
      await sound.microphone.start(raw);
      await pause(4500);
      return { ...sound.audio.metrics.capture, level: sound.microphone.level, state: sound.microphone.state };
    }, RAW);
    const sent = fromText(await page.evaluate(() => sound.sent()));
    const { captured, sampleRate } = listening.stop();
    // Against what Chromium's microphone gave: on a busy machine that is not quite what is in its file.
    const { correlation } = compareEnvelopes(sent, to24k(captured, sampleRate));
    expect(correlation).toBeGreaterThan(0.95);
    expect(rms(sent) / rms(WORDS)).toBeGreaterThan(0.7);
    expect(metrics).toMatchObject({ state: { status: 'on', device: { kind: 'input' } }, muted: false, level: 0 });
    expect(metrics.capturedSeconds).toBeCloseTo(sent.length / 24_000, 1);
    expect(metrics.latencyMs).toBeGreaterThanOrEqual(0);
  });

  it('the model is heard as it spoke, and where the listener is the clock knows', async () => {
    const listening = await tap(page);
    await open();
    const begins = await page.evaluate(
      async ({ samples }) => {
        await sound.speaker.start();
        // Tells which sample of the context is the first loud one.
        const node = sound.speaker.node as unknown as AudioNode;
        const context = node.context as AudioContext;
        const source = `registerProcessor('onset', class extends AudioWorkletProcessor {
          process([[pcm]]) {
            const at = pcm ? pcm.findIndex((sample) => Math.abs(sample) > 0.2) : -1;
            if (at >= 0) this.port.postMessage(currentFrame + at);
            return at < 0;
          }
        });`;
        await context.audioWorklet.addModule(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
        const onset = new AudioWorkletNode(context, 'onset');
        const frame = new Promise<number>((resolve) => {
          onset.port.onmessage = ({ data }) => resolve(data);
        });
        node.connect(onset);
        await sound.speak(samples, { 5: ' one', 20: ' two' });
        const { contextTime, performanceTime } = context.getOutputTimestamp();
        const heardMs = performanceTime! + ((await frame) / context.sampleRate - contextTime!) * 1000;
        while ((sound.speaker.clock.now ?? 0) < 5.95) await pause(50);
        // It stands still where the model stopped.
        await pause(300);
        const { now } = sound.speaker.clock;
        return { heardMs, toldMs: sound.speaker.clock.heardAt(1), now, words: sound.words };
      },
      { samples: toNumbers(concat([new Float32Array(24_000), tone(1000, 1), WORDS])) },
    );
    // What is told is where it is: a sample of the tone's first half wave.
    expect(Math.abs(begins.heardMs - begins.toldMs!)).toBeLessThan(5);
    expect(begins.now).toBeCloseTo(6, 1);
    expect(begins.words.map(({ text }) => text)).toEqual(['one', 'two']);
    const { heard, sampleRate } = listening.stop();
    const { correlation } = compareEnvelopes(
      concat([new Float32Array(24_000), tone(1000, 1), WORDS]),
      to24k(heard, sampleRate),
    );
    expect(correlation).toBeGreaterThan(0.9);
  });

  it('muted it sends zeros at the same pace', async () => {
    await open();
    const seconds = await page.evaluate(async (raw) => {
      await sound.microphone.start({ ...raw, muted: true });
      await pause(300);
      sound.forget();
      const before = performance.now();
      await pause(1500);
      return [sound.sentSeconds, (performance.now() - before) / 1000];
    }, RAW);
    expect(seconds[0]).toBeGreaterThan(0.8 * seconds[1]!);
    const sent = fromText(await page.evaluate(() => sound.sent()));
    expect(sent.every((sample) => sample === 0)).toBe(true);
    const loud = await page.evaluate(async () => {
      sound.forget();
      sound.microphone.setMuted(false);
      await pause(1000);
      return sound.sent();
    });
    expect(rms(fromText(loud))).toBeGreaterThan(0.02);
  });

  it('without a device silence keeps the time', async () => {
    await open();
    const seconds = await page.evaluate(async () => {
      await sound.microphone.start({ source: 'silence' });
      const before = performance.now();
      sound.forget();
      await pause(1000);
      return [sound.sentSeconds, (performance.now() - before) / 1000, sound.microphone.state.status];
    });
    expect(seconds[0]).toBeGreaterThan(0.8 * Number(seconds[1]));
    expect(seconds[2]).toBe('silent');
    expect(fromText(await page.evaluate(() => sound.sent())).every((sample) => sample === 0)).toBe(true);
  });

  it('devices are listed, and changed while they are used', async () => {
    const listening = await tap(page);
    await open();
    const found = await page.evaluate(
      async ({ raw, samples }) => {
        await sound.microphone.start(raw);
        await sound.speaker.start();
        const list = await devices();
        const other = (kind: 'inputs' | 'outputs') => list[kind].find((device) => !device.isDefault)!.id;
        const speaking = sound.speak(samples);
        await pause(700);
        sound.forget();
        const before = performance.now();
        await sound.microphone.setDevice(other('inputs'));
        await sound.speaker.setDevice(other('outputs'));
        await pause(1000);
        const missing = (performance.now() - before) / 1000 - sound.sentSeconds;
        await speaking;
        const bad = await sound.microphone.setDevice('no such device').catch((error) => error.message);
        const badOutput = await sound.speaker.setDevice('no such device').catch((error) => error.code);
        return {
          list,
          devices: [sound.microphone.device, sound.speaker.device],
          wanted: [other('inputs'), other('outputs')],
          missing,
          bad,
          badOutput,
          state: sound.microphone.state.status,
        };
      },
      { raw: RAW, samples: toNumbers(tone(500, 2.4)) },
    );
    expect(found.devices.map((device) => device?.id)).toEqual(found.wanted);
    expect(found.devices[0]).toMatchObject({ kind: 'input', isDefault: false });
    expect(found.devices[1]!.label).toContain('Fake Audio Output');
    expect(found.list).toMatchObject({ labelled: true, canChooseOutput: true });
    for (const kind of [found.list.inputs, found.list.outputs]) {
      expect(kind.filter(({ isDefault }) => isDefault)).toHaveLength(1);
      expect(kind.every(({ label }) => label.startsWith('Fake'))).toBe(true);
    }
    expect(found.missing).toBeLessThan(0.3);
    expect(found.bad).toContain('this microphone is not here any more');
    expect(found.badOutput).toBe('no-device');
    expect(found.state).toBe('on');
    const { heard, sampleRate } = listening.stop();
    const loud = heard.filter((sample) => Math.abs(sample) > 0.1).length / sampleRate;
    expect(loud).toBeGreaterThan(0.8 * 2.2 * 0.87);
  });

  it('a device that goes away is followed by the default one; the system may interrupt it', async () => {
    await page.addInitScript(() => {
      const { getUserMedia } = MediaDevices.prototype;
      MediaDevices.prototype.getUserMedia = async function (constraints) {
        const stream = await getUserMedia.call(this, constraints);
        Object.assign(globalThis, { track: stream.getAudioTracks()[0] });
        return stream;
      };
    });
    await open();
    const seen = await page.evaluate(async (raw) => {
      const track = () => (globalThis as unknown as { track: MediaStreamTrack }).track;
      await sound.microphone.start(raw);
      Object.defineProperty(track(), 'muted', { value: true, configurable: true });
      track().dispatchEvent(new Event('mute'));
      const interrupted = sound.microphone.state;
      Object.defineProperty(track(), 'muted', { value: false });
      track().dispatchEvent(new Event('unmute'));
      const lost = track();
      lost.stop();
      lost.dispatchEvent(new Event('ended'));
      while (sound.states.length < 6) await pause(20);
      sound.forget();
      await pause(700);
      return { interrupted, states: sound.states, errors: sound.errors, fresh: track() !== lost };
    }, RAW);
    expect(seen.interrupted).toEqual({ status: 'silent', reason: 'interrupted' });
    expect(seen.errors).toEqual(['device-lost']);
    expect(seen.states).toEqual(
      ['starting', 'on', 'silent', 'on', 'silent', 'on'].map((status) => `microphone ${status}`),
    );
    expect(seen.fresh).toBe(true);
    expect(rms(fromText(await page.evaluate(() => sound.sent())))).toBeGreaterThan(0.01);
  });

  it('a recording has both sides as they were heard, side by side', async () => {
    const listening = await tap(page);
    await open();
    const reply = concat([new Float32Array(12_000), speechLike(3, 8)]);
    const wav = await page.evaluate(
      async ({ raw, samples }) => {
        await sound.speaker.start({ volume: 0.5 });
        const recording = await sound.audio.record();
        await sound.microphone.start(raw);
        await sound.speak(samples);
        await pause(300);
        return Array.from(await recording.stop());
      },
      { raw: RAW, samples: toNumbers(reply) },
    );
    const { channels, sampleRate } = readWav(Uint8Array.from(wav));
    expect([channels, sampleRate]).toEqual([2, 24_000]);
    const both = pcm16.decode(Uint8Array.from(wav).subarray(44));
    const [model, user] = [both.filter((_, i) => i % 2 === 0), both.filter((_, i) => i % 2 === 1)];
    const tapped = listening.stop();
    const [heard, captured] = [tapped.heard, tapped.captured].map((pcm) => to24k(pcm, tapped.sampleRate));
    const sides = [
      compareEnvelopes(model, heard!, { maxDelayMs: 3000 }),
      compareEnvelopes(user, captured!, { maxDelayMs: 3000 }),
    ];
    for (const { correlation } of sides) expect(correlation).toBeGreaterThan(0.95);
    expect(Math.abs(sides[0]!.delayMs - sides[1]!.delayMs)).toBeLessThanOrEqual(10);
    expect(rms(model) / rms(reply)).toBeGreaterThan(0.35);
    expect(rms(model) / rms(reply)).toBeLessThan(0.6);
  });

  it('the volume and an interruption make no clicks', async () => {
    const listening = await tap(page);
    await open();
    await page.evaluate(
      async (samples) => {
        await sound.speaker.start();
        const speaking = sound.speak(samples);
        await pause(600);
        sound.speaker.setVolume(0.1);
        await pause(300);
        sound.speaker.setVolume(1);
        await pause(300);
        sound.audio.interrupted();
        await speaking;
      },
      toNumbers(tone(100, 2)),
    );
    const { heard, sampleRate } = listening.stop();
    let steepest = 0;
    for (let i = 1; i < heard.length; i++) steepest = Math.max(steepest, Math.abs(heard[i]! - heard[i - 1]!));
    expect(steepest).toBeLessThan(3 * 0.5 * 2 * Math.PI * (100 / sampleRate));
    const loudness = Array.from({ length: Math.floor(heard.length / 441) }, (_, i) =>
      rms(heard.subarray(i * 441, i * 441 + 441)),
    );
    // Interrupted, the model is never as loud again, but not silent while it goes on.
    const last = loudness.findLastIndex((level) => level > 0.2);
    const ducked = loudness.slice(last + 15, last + 45);
    expect(Math.max(...ducked)).toBeLessThan(0.1);
    expect(Math.max(...ducked)).toBeGreaterThan(0.01);
  });
});

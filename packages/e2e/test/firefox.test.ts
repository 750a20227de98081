import { fileURLToPath } from 'node:url';
import { compareEnvelopes, tone } from '@moshi/client/testing';
import { pcm16, readWav, rms } from '@moshi/protocol/audio';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { RAW, STRICT, speech, WORKLETS } from '../support/conversation';
import { expectEveryWord } from '../support/expect-words';
import { describeInFirefox } from '../support/firefox';
import { FirefoxConversation, type Listener, openFirefox } from '../support/firefox-conversation';
import { hostPage } from '../support/page-host';
import type {} from './codec.entry';

const CODEC = fileURLToPath(new URL('./codec.entry.ts', import.meta.url));
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs in the page: how often it asks its context for what Firefox has to ask the system for. */
function countQuestions(): void {
  let asked = 0;
  Object.defineProperty(globalThis, 'asked', { get: () => asked });
  const { getOutputTimestamp } = AudioContext.prototype;
  AudioContext.prototype.getOutputTimestamp = function () {
    asked++;
    return getOutputTimestamp.call(this);
  };
  Object.defineProperty(AudioContext.prototype, 'outputLatency', { get: () => asked++ * 0 });
}

describeInFirefox('a conversation in Firefox', () => {
  let listener: Listener;
  let conversation: FirefoxConversation;
  const closing: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    listener = await openFirefox();
  });
  afterAll(() => listener?.close());
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  const open = async (options?: Parameters<typeof FirefoxConversation.open>[1]) => {
    conversation = await FirefoxConversation.open(listener, options);
    closing.push(() => conversation.close());
  };
  const until = async (holds: () => Promise<boolean>) => {
    while (!(await holds())) await wait(50);
  };
  const evaluate = <T>(expression: string) => conversation.tab.evaluate<T>(expression);

  it('plays what was said, word for word, on a page with a strict policy, and records both sides', async () => {
    await open({ page: { csp: STRICT, files: WORKLETS }, before: [countQuestions] });
    await conversation.talk({ connect: { audio: { worklets: '/worklets' } }, microphone: RAW });
    await evaluate('loop.session.record().then((recording) => { globalThis.recording = recording; })');
    await conversation.say();
    const { captured, heard } = conversation.sound();
    expectEveryWord({ captured, heard }, { likeness: 0.5 });
    // It left the browser, too.
    expect(rms(conversation.ears.stop().heard)).toBeGreaterThan(0.01);
    expect(await evaluate('loop.session.metrics')).toMatchObject({
      droppedSeconds: 0,
      lostPackets: 0,
      playout: { droppedMs: 0 },
    });
    const wav = Buffer.from(await evaluate<string>('recording.stop().then((bytes) => bytes.toBase64())'), 'base64');
    expect(readWav(wav)).toMatchObject({ sampleRate: 24_000, channels: 2 });
    const both = pcm16.decode(wav.subarray(44));
    const [model, user] = [both.filter((_, i) => i % 2 === 0), both.filter((_, i) => i % 2 === 1)];
    expect(compareEnvelopes(model, heard).correlation).toBeGreaterThan(0.9);
    expect(compareEnvelopes(user, captured).correlation).toBeGreaterThan(0.9);
    // While the system waits for the page, a page that waits for the system stands still with it.
    expect(await evaluate('asked')).toBe(0);
    expect(conversation.tab.problems).toEqual([]);
  });

  it('takes the conversation up again after a cut in mid-word: every word once', async () => {
    await open();
    await conversation.talk({ microphone: RAW });
    const saying = conversation.say(await speech(0, 4));
    await wait(2000);
    conversation.chaos.refuse(true);
    conversation.chaos.cut();
    await wait(400);
    conversation.chaos.refuse(false);
    const { data } = await conversation.event('resumed');
    expect(data).toMatchObject({ droppedMs: 0 });
    await saying;
    expectEveryWord(conversation.sound(), { likeness: 0.5, maxLagMs: 2500 });
    expect(await conversation.events('new-conversation')).toEqual([]);
  });

  it('is silent when muted and soft when interrupted, and plays where it is told to', async () => {
    await open();
    const headphones = await listener.sound.listen('headphones');
    await conversation.talk({ microphone: RAW });
    const hush = new AbortController();
    closing.push(async () => hush.abort());
    void listener.sound.say(tone(440, 300), hush.signal);
    /** How loud it is at both loudspeakers, outside of the browser. */
    const loudness = async () => {
      await wait(600);
      const ears = [conversation.ears, headphones];
      const before = ears.map((ear) => ear.read().heard.length);
      await wait(400);
      return ears.map((ear, i) => rms(ear.read().heard.subarray(before[i])));
    };
    const place = (label: string) =>
      evaluate<string>(
        `loop.devices().then(({ outputs }) => outputs.find((device) => device.label === '${label}').id)`,
      );
    await until(async () => (await loudness())[0]! > 0.02);
    await evaluate('loop.session.microphone.setMuted(true)');
    await until(async () => (await loudness())[0]! < 0.001);
    await evaluate('loop.session.microphone.setMuted(false)');
    await until(async () => (await loudness())[0]! > 0.02);
    const before = conversation.sound().heard.length;
    await evaluate('loop.session.interrupt()');
    await until(async () => conversation.sound().heard.length > before + 24_000);
    const { heard } = conversation.sound();
    const levels = [0.2, 0.4, 0.6, 0.8].map((at) => rms(heard.subarray(before + at * 24_000).subarray(0, 2400)));
    expect(Math.min(...levels)).toBeLessThan(0.3 * rms(heard.subarray(before - 4800, before)));
    const id = await place('Headphones');
    await evaluate(`loop.session.speaker.setDevice('${id}')`);
    expect(await evaluate('loop.session.speaker.device')).toMatchObject({ label: 'Headphones', isDefault: false });
    await until(async () => {
      const [there, here] = await loudness();
      return there! < 0.001 && here! > 0.01;
    });
    expect(await evaluate(`loop.session.speaker.setDevice('none').catch(({ code }) => code)`)).toBe('no-device');
    await evaluate('loop.session.speaker.setDevice(undefined)');
    await until(async () => {
      const [here, there] = await loudness();
      return there! < 0.001 && here! > 0.01;
    });
    headphones.stop();
    expect(conversation.tab.problems).toEqual([]);
  });

  it('is encoded by Firefox, and by WebAssembly when that breaks down', async () => {
    const host = await hostPage({ entry: CODEC });
    closing.push(() => host.close());
    const tab = await listener.firefox.open(host.url);
    await tab.until('Boolean(globalThis.talk)');
    const said = await tab.evaluate<Awaited<ReturnType<typeof talk>>>(`talk('auto', true)`);
    // One was for the test of it.
    expect(said.encoders).toBe(2);
    expect(said.errors).toEqual([expect.stringContaining('codec: the encoder failed')]);
    for (const { correlation } of [said.first, said.last]) expect(correlation).toBeGreaterThan(0.95);
    await tab.close();
  });

  it('begins to speak and to hear while nobody looks', async () => {
    await open();
    await conversation.tab.click();
    const other = await listener.firefox.open('about:blank');
    expect(await evaluate('document.visibilityState')).toBe('hidden');
    await evaluate('loop.connect().then(() => loop.talk())');
    void listener.sound.say(await speech(0, 3));
    // With all that Firefox does to sound for calls.
    await until(async () => rms(conversation.sound().heard) > 0.005);
    // Firefox names devices only where somebody looks.
    expect(await evaluate('loop.session.speaker.device')).toBeUndefined();
    await other.close();
    await conversation.tab.until('Boolean(loop.session.speaker.device)');
    expect(await evaluate('loop.session.speaker.device.label')).toBe('Speaker');
  });

  it('waits for a click where nobody is heard', async () => {
    await open();
    await evaluate('loop.connect().then(() => loop.session.speaker.start())');
    expect(await evaluate('loop.session.speaker.state.status')).toBe('blocked');
    await conversation.tab.click();
    await conversation.tab.until(`loop.session.speaker.state.status === 'playing'`);
  });

  it('names the cure for a microphone that is refused, and takes it when it is allowed', async () => {
    await open();
    const start = `loop.session.microphone.start().then(() => 'on', ({ code, message }) => code + ': ' + message)`;
    await evaluate('loop.connect()');
    await listener.firefox.set({ 'permissions.default.microphone': 2, 'media.navigator.permission.disabled': false });
    expect(await evaluate(start)).toContain(
      'permission-denied: the microphone was refused: allow it for this site in the address bar, then try again',
    );
    await listener.firefox.set({ 'permissions.default.microphone': 0, 'media.navigator.permission.disabled': true });
    expect(await evaluate(start)).toBe('on');
  });
});

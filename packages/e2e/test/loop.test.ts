import { rms } from '@moshi/protocol/audio';
import { afterEach, expect, it } from 'vitest';
import { describeInChromium } from '../support/browser';
import { Conversation, STRICT, WORKLETS } from '../support/conversation';
import { expectEveryWord } from '../support/expect-words';

describeInChromium('a whole conversation', () => {
  let conversation: Conversation;
  afterEach(() => conversation?.close());

  it('plays what was said, word for word, on a page with a strict policy', async () => {
    conversation = await Conversation.open({ page: { csp: STRICT, files: WORKLETS } });
    await conversation.talk({ connect: { audio: { worklets: '/worklets' } } });
    await conversation.spoken();
    expectEveryWord(conversation.sound());
    const figures = await conversation.page.evaluate(() => loop.session.metrics);
    expect(figures).toMatchObject({ droppedSeconds: 0, lostPackets: 0, playout: { overflows: 0, droppedMs: 0 } });
    expect(conversation.problems).toEqual([]);
  });

  it('works with what browsers do to sound for calls, and with a codec of WebAssembly', async () => {
    conversation = await Conversation.open();
    await conversation.talk({ connect: { audio: { encoder: 'wasm' } }, microphone: {} });
    await conversation.spoken();
    const { heard } = conversation.sound();
    expect(rms(heard)).toBeGreaterThan(0.01);
    expect(conversation.problems).toEqual([]);
  });

  it('goes on in silence when the microphone is refused, and with it when it is allowed', async () => {
    conversation = await Conversation.open({ browser: { deny: true } });
    const { page } = conversation;
    const refused = await page.evaluate(async () => {
      await loop.connect();
      return loop.talk().catch((error) => error.code);
    });
    expect(refused).toBe('permission-denied');
    await page.evaluate(() => loop.session.microphone.start({ source: 'silence' }));
    await page.waitForFunction(() => loop.session.metrics.audioReceivedSeconds > 1);
    expect(rms(conversation.sound().heard)).toBeLessThan(1e-4);
    await page.context().grantPermissions(['microphone']);
    await page.evaluate(() => loop.session.microphone.start());
    await expect.poll(() => rms(conversation.sound().heard), { interval: 500 }).toBeGreaterThan(0.005);
    expect(await page.evaluate(() => loop.session.microphone.state.status)).toBe('on');
  });

  it('goes on with another microphone when the one in use is lost', async () => {
    conversation = await Conversation.open({ browser: { loop: true } });
    const { page } = conversation;
    await page.evaluate(() => {
      const { getUserMedia } = MediaDevices.prototype;
      MediaDevices.prototype.getUserMedia = async function (constraints) {
        const stream = await getUserMedia.call(this, constraints);
        Object.assign(globalThis, { track: stream.getAudioTracks()[0] });
        return stream;
      };
    });
    await conversation.talk();
    await expect.poll(() => rms(conversation.sound().heard), { interval: 500 }).toBeGreaterThan(0.01);
    await page.evaluate(() => {
      const { track } = globalThis as unknown as { track: MediaStreamTrack };
      track.stop();
      track.dispatchEvent(new Event('ended'));
    });
    await conversation.event('microphone', 4);
    // What was on its way is heard by then.
    await page.waitForTimeout(1500);
    const before = conversation.sound().heard.length;
    await expect.poll(() => rms(conversation.sound().heard.subarray(before)), { interval: 500 }).toBeGreaterThan(0.01);
    const states = (await conversation.events('microphone')).map(({ data }) => (data as { status: string }).status);
    expect(states).toEqual(['starting', 'on', 'silent', 'on']);
  });
});

import { rms } from '@moshi/protocol/audio';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { RAW, speech } from '../support/conversation';
import { expectEveryWord } from '../support/expect-words';
import { describeInFirefox } from '../support/firefox';
import { FirefoxConversation, type Listener, openFirefox } from '../support/firefox-conversation';
import { takeAway } from '../support/lacks-in-page';

// Safari runs on its own systems alone: what it has not is taken away from a browser that can be tried.
describeInFirefox('a browser that lacks', () => {
  let listener: Listener;
  let conversation: FirefoxConversation;
  beforeAll(async () => {
    listener = await openFirefox();
  });
  afterAll(() => listener?.close());
  afterEach(() => conversation?.close());
  const open = async (options: Parameters<typeof FirefoxConversation.open>[1] = {}) => {
    conversation = await FirefoxConversation.open(listener, options);
  };
  const evaluate = <T>(expression: string) => conversation.tab.evaluate<T>(expression);
  /** What a promise came to: its value, or code and message of its error. */
  const outcome = (promise: string) =>
    evaluate<string>(`${promise}.then(() => 'done', ({ code, message }) => code + ': ' + message)`);

  it('all of it has a whole conversation, at another rate than its microphone', async () => {
    await open({ before: [takeAway] });
    await conversation.talk({ microphone: RAW });
    await evaluate('loop.session.record().then((recording) => { globalThis.recording = recording; })');
    await conversation.say(await speech(0, 4));
    expectEveryWord(conversation.sound(), { likeness: 0.5 });
    expect(rms(conversation.ears.stop().heard)).toBeGreaterThan(0.01);
    expect(await evaluate('loop.session.metrics.capture')).toMatchObject({ sampleRate: 44_100 });
    expect(await evaluate('recording.stop().then(({ length }) => length)')).toBeGreaterThan(4 * 4 * 24_000);
    expect(await evaluate('loop.session.speaker.clock.now')).toBeGreaterThan(3);
    expect(await evaluate('loop.devices()')).toMatchObject({ outputs: [], canChooseOutput: false });
    expect(await outcome(`loop.session.speaker.setDevice('another')`)).toBe(
      'unsupported: this browser lets no page choose its loudspeaker: choose it in the system',
    );
    expect(await outcome(`loop.connect({ audio: { encoder: 'webcodecs' } })`)).toContain('unsupported: this browser');
    expect(conversation.tab.problems).toEqual([]);
  });

  it('its sound for the time of a phone call waits, and is not started by hand', async () => {
    await open();
    await conversation.talk();
    const seen = await evaluate(`(async () => {
      const { microphone, speaker } = loop.session;
      const { context } = speaker.node;
      let resumed = 0;
      context.resume = async () => { resumed++; };
      const become = (state) => {
        Object.defineProperty(context, 'state', { value: state, configurable: true });
        context.dispatchEvent(new Event('statechange'));
        return [speaker.state.status, microphone.state.status, microphone.state.reason];
      };
      const called = become('interrupted');
      await speaker.resume();
      document.documentElement.click();
      return { called, after: become('running'), resumed };
    })()`);
    expect(seen).toEqual({
      called: ['interrupted', 'silent', 'interrupted'],
      after: ['playing', 'on', null],
      resumed: 0,
    });
  });

  it('a microphone for pages, worklets or Web Audio says what it lacks', async () => {
    await open();
    const fresh = async (change: string, then: string) => {
      await evaluate(`(async () => {
        await globalThis.before?.close();
        await loop.connect();
        globalThis.before = loop.session;
        ${change};
      })()`);
      return outcome(then);
    };
    const [microphone, speaker] = ['loop.session.microphone.start()', 'loop.session.speaker.start()'];
    expect(await fresh('delete MediaDevices.prototype.getUserMedia', microphone)).toBe(
      'unsupported: this browser gives no microphone to pages: use a current one',
    );
    expect(await fresh('Object.defineProperty(globalThis, "isSecureContext", { value: false })', microphone)).toContain(
      'insecure-page: browsers give a microphone to pages of https and of localhost only',
    );
    expect(await fresh('delete BaseAudioContext.prototype.audioWorklet', speaker)).toContain('insecure-page');
    expect(
      await fresh('globalThis.AudioContext = class { constructor() { throw new Error("none left"); } }', speaker),
    ).toBe('unsupported: the browser opens no AudioContext: Error: none left');
    await evaluate('before.close().then(() => delete globalThis.AudioContext).then(() => loop.connect())');
    expect(await outcome(speaker)).toContain('unsupported: there are no sound devices here');
  });

  it('WebAssembly says so, and what to do about it', async () => {
    const remove = () => void delete (globalThis as { WebAssembly?: object }).WebAssembly;
    await open({ before: [remove] });
    expect(await outcome('loop.connect()')).toContain('unsupported: WebAssembly cannot run here');
  });

  it('leave to compile says so, too', async () => {
    await open({ page: { csp: "default-src 'none'; script-src 'self'; connect-src 'self'" } });
    expect(await outcome('loop.connect()')).toContain("has to allow 'wasm-unsafe-eval'");
  });

  it('ways between two rates takes a context that is given at another one, or says why not', async () => {
    await open();
    const start = async () => {
      await evaluate('loop.connect({ audio: { context: new AudioContext({ sampleRate: 24000 }) } })');
      const said = await outcome('loop.session.microphone.start()');
      await evaluate('loop.session.close()');
      return said;
    };
    expect(await start()).toBe('done');
    await evaluate(`void (globalThis.MediaStreamAudioSourceNode = class {
      constructor() {
        throw new DOMException('different sample-rates are not supported', 'NotSupportedError');
      }
    })`);
    expect(await start()).toBe(
      'unsupported: the microphone could not be opened: different sample-rates are not supported',
    );
  });
});

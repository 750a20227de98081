import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AudioPlatform, InputSink, MoshiError, OutputSink } from '../src/index';
import { openAudio } from '../src/web-audio/platform';

/** As much of Web Audio as is touched here; what it does with sound is for tests in a browser. */
class FakeContext extends EventTarget {
  state = 'suspended';
  sampleRate = 48_000;
  currentTime = 0;
  destination = {};
  audioWorklet: object | undefined = { addModule: () => modules };
  constructor() {
    super();
    contexts.push(this);
  }
  become(state: string) {
    this.state = state;
    this.dispatchEvent(new Event('statechange'));
  }
  async resume() {}
  async close() {
    this.become('closed');
  }
}

class FakeNode {
  readonly port = { postMessage: () => {}, onmessage: null };
  readonly gain = { setTargetAtTime: () => {} };
  frequencyBinCount = 1024;
  connect = (to: object) => to;
  disconnect = () => {};
}

class FakeTrack extends EventTarget {
  readyState = 'live';
  muted = false;
  label = 'Headset';
  stop = vi.fn();
  getSettings = () => ({ deviceId: 'headset' });
}

let contexts: FakeContext[];
/** Worklets are loaded when it resolves. */
let modules: Promise<void>;
let track: FakeTrack;
let devices: { deviceId: string; label: string; kind: string }[];
let mediaDevices: EventTarget & { enumerateDevices?: () => Promise<unknown>; getUserMedia?: () => Promise<unknown> };
let gestures: EventTarget & { counted: number };

beforeEach(() => {
  contexts = [];
  modules = Promise.resolve();
  track = new FakeTrack();
  devices = [];
  mediaDevices = Object.assign(new EventTarget(), {
    enumerateDevices: async () => devices,
    getUserMedia: async () => ({ getAudioTracks: () => [track], getTracks: () => [track] }),
  });
  gestures = Object.assign(new EventTarget(), { counted: 0 });
  const [add, remove] = [gestures.addEventListener, gestures.removeEventListener];
  const listening = new Set<unknown>();
  gestures.addEventListener = (...args) => {
    listening.add(args[0]);
    gestures.counted = listening.size;
    add.apply(gestures, args);
  };
  gestures.removeEventListener = (...args) => {
    listening.delete(args[0]);
    gestures.counted = listening.size;
    remove.apply(gestures, args);
  };
  vi.stubGlobal('AudioContext', FakeContext);
  for (const name of ['GainNode', 'AnalyserNode', 'AudioWorkletNode', 'MediaStreamAudioSourceNode']) {
    vi.stubGlobal(name, FakeNode);
  }
  vi.stubGlobal('navigator', { mediaDevices });
  vi.stubGlobal('document', gestures);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A microphone that is opened, and what it tells. */
function listen(platform: AudioPlatform) {
  const lost: MoshiError[] = [];
  const sink: InputSink = { samples: () => {}, lost: (error) => lost.push(error), interrupted: () => {} };
  return { lost, port: platform.openInput({ muted: false }, sink) };
}

describe('in a browser', () => {
  it('a context that is of no use is closed: a page may have few of them', async () => {
    vi.stubGlobal('isSecureContext', false);
    vi.stubGlobal('location', { origin: 'http://192.168.0.7' });
    vi.stubGlobal(
      'AudioContext',
      class extends FakeContext {
        override audioWorklet = undefined;
      },
    );
    for (let i = 0; i < 2; i++) {
      await expect(listen(openAudio({})!).port).rejects.toMatchObject({ code: 'insecure-page' });
    }
    expect(contexts.map(({ state }) => state)).toEqual(['closed', 'closed']);
    const own = new FakeContext();
    own.audioWorklet = undefined;
    await expect(listen(openAudio({ context: own as never })!).port).rejects.toMatchObject({ code: 'insecure-page' });
    expect(own.state).toBe('suspended');
  });

  it('a context of the caller’s is left alone once nothing uses it', async () => {
    const context = new FakeContext();
    mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
    await expect(listen(openAudio({ context: context as never })!).port).rejects.toMatchObject({
      code: 'permission-denied',
    });
    // Only now it would be known that it is blocked.
    await vi.advanceTimersByTimeAsync(5000);
    expect(gestures.counted).toBe(0);
    expect(context.state).toBe('suspended');
  });

  it('a blocked context waits for a click, and no longer than it is used', async () => {
    const { port } = listen(openAudio({})!);
    await vi.advanceTimersByTimeAsync(5000);
    expect(gestures.counted).toBeGreaterThan(0);
    await (await port).close();
    expect(gestures.counted).toBe(0);
    expect(contexts[0]!.state).toBe('closed');
  });

  it('a microphone that goes away before the worklet is there is told of', async () => {
    let load = () => {};
    modules = new Promise((resolve) => {
      load = resolve;
    });
    const { port, lost } = listen(openAudio({})!);
    await vi.advanceTimersByTimeAsync(0);
    track.readyState = 'ended';
    track.dispatchEvent(new Event('ended'));
    load();
    await port;
    expect(lost).toMatchObject([{ code: 'device-lost', message: expect.stringContaining('Headset') }]);
  });

  it('a loudspeaker that cannot be chosen leaves nothing connected, and the default one plays on', async () => {
    const paths = new Set<object>();
    class Output extends FakeNode {
      override connect = (to: object) => {
        paths.add(to);
        return to;
      };
      override disconnect = (to?: object) => void (to ? paths.delete(to) : paths.clear());
    }
    class Element {
      static made: Element[] = [];
      srcObject: object | null = null;
      paused = false;
      constructor() {
        Element.made.push(this);
      }
      setSinkId = async () => {};
      play = () => Promise.reject(new DOMException('a click first', 'NotAllowedError'));
      pause = () => {
        this.paused = true;
      };
    }
    vi.stubGlobal('AnalyserNode', Output);
    vi.stubGlobal('Audio', Element);
    const stream = class extends FakeNode {
      stream = {};
    };
    vi.stubGlobal('MediaStreamAudioDestinationNode', stream);
    vi.stubGlobal(
      'AudioContext',
      class extends FakeContext {
        override state = 'running';
      },
    );
    const sink: OutputSink = { status: () => {}, state: () => {}, lost: () => {} };
    const port = await openAudio({})!.openOutput({ volume: 1, playout: {} }, sink);
    for (let i = 0; i < 2; i++)
      await expect(port.setDevice('headphones')).rejects.toMatchObject({ name: 'MoshiError' });
    expect([...paths].filter((path) => path instanceof stream)).toEqual([]);
    expect(paths).toContain(contexts[0]!.destination);
    expect(Element.made).toMatchObject([
      { srcObject: null, paused: true },
      { srcObject: null, paused: true },
    ]);
  });

  it('a loudspeaker that the browser names late does not have the name of the one before', async () => {
    devices = [
      { deviceId: 'headphones', label: 'Headphones', kind: 'audiooutput' },
      { deviceId: 'speaker', label: 'Speaker', kind: 'audiooutput' },
    ];
    vi.stubGlobal(
      'AudioContext',
      class extends FakeContext {
        override state = 'running';
        setSinkId = async () => {};
      },
    );
    const sink: OutputSink = { status: () => {}, state: () => {}, device: vi.fn(), lost: () => {} };
    const port = await openAudio({})!.openOutput({ deviceId: 'headphones', volume: 1, playout: {} }, sink);
    expect(port.device).toMatchObject({ label: 'Headphones' });
    let look = () => {};
    mediaDevices.enumerateDevices = () =>
      new Promise((resolve) => {
        look = () => resolve(devices);
      });
    const chosen = port.setDevice('speaker');
    await vi.advanceTimersByTimeAsync(1000);
    await chosen;
    expect(port.device).toBeUndefined();
    look();
    await vi.advanceTimersByTimeAsync(0);
    expect(port.device).toMatchObject({ label: 'Speaker' });
    expect(sink.device).toHaveBeenLastCalledWith(expect.objectContaining({ label: 'Speaker' }));
  });

  it('a loudspeaker that goes away is told of once, however often the devices change', async () => {
    devices = [{ deviceId: 'headphones', label: 'Headphones', kind: 'audiooutput' }];
    vi.stubGlobal(
      'AudioContext',
      class extends FakeContext {
        override state = 'running';
        setSinkId = async () => {};
      },
    );
    const lost: MoshiError[] = [];
    const sink: OutputSink = { status: () => {}, state: () => {}, lost: (error) => lost.push(error) };
    await openAudio({})!.openOutput({ deviceId: 'headphones', volume: 1, playout: {} }, sink);
    mediaDevices.dispatchEvent(new Event('devicechange'));
    await vi.advanceTimersByTimeAsync(0);
    expect(lost).toEqual([]);
    devices = [];
    for (let i = 0; i < 3; i++) mediaDevices.dispatchEvent(new Event('devicechange'));
    await vi.advanceTimersByTimeAsync(0);
    mediaDevices.dispatchEvent(new Event('devicechange'));
    await vi.advanceTimersByTimeAsync(0);
    expect(lost).toMatchObject([{ code: 'device-lost', message: expect.stringContaining('Headphones') }]);
  });
});

import { describe, expect, it } from 'vitest';
import { type InputOptions, type InputSink, listDevices, type MicrophoneState, MoshiError } from '../src/index';
import { compareEnvelopes, type FakeAudio, fakeAudio, speechLike, tone } from '../src/testing/index';
import { audioSession } from './support/audio-session';

function setUp(audio: FakeAudio) {
  const { audio: sound, sent } = audioSession({ platform: audio });
  const { microphone } = sound;
  const states: MicrophoneState[] = [];
  const errors: MoshiError[] = [];
  const muted: boolean[] = [];
  microphone.on('state', (state) => states.push(state));
  microphone.on('error', (error) => errors.push(error));
  microphone.on('muted', (on) => muted.push(on));
  return { sound, microphone, sent, states, errors, muted, names: () => states.map(({ status }) => status) };
}

const isSilent = (pcm: Float32Array) => pcm.every((sample) => Math.abs(sample) < 1e-4);

describe('a microphone', () => {
  it.each([24_000, 44_100, 48_000])('sends what a device of %i Hz hears, at 24 kHz', async (sampleRate) => {
    const words = speechLike(2);
    const audio = fakeAudio({ microphone: words, sampleRate });
    const { microphone, sent, names, sound } = setUp(audio);
    expect(microphone.state).toEqual({ status: 'off' });
    await microphone.start();
    await audio.advance(2100);
    expect(names()).toEqual(['starting', 'on']);
    expect(microphone.device).toMatchObject({ id: 'microphone', kind: 'input' });
    expect(Math.abs(sent().length - 2.1 * 24_000)).toBeLessThan(100);
    const { correlation, delayMs } = compareEnvelopes(words, sent());
    expect(correlation).toBeGreaterThan(0.99);
    expect(delayMs).toBe(0);
    expect(sound.metrics.capture).toMatchObject({ sampleRate, muted: false });
    expect(sound.metrics.capture!.capturedSeconds).toBeCloseTo(2.1, 1);
  });

  it('muted sends zeros at the same pace, and shows no level', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone, sent, muted } = setUp(audio);
    await microphone.start({ muted: true });
    await audio.advance(500);
    expect(sent()).toHaveLength(12_000);
    expect(isSilent(sent())).toBe(true);
    expect(microphone.level).toBe(0);
    const bands = new Uint8Array(8).fill(9);
    microphone.getByteFrequencyData(bands);
    expect([...bands]).toEqual(new Array(8).fill(0));
    microphone.setMuted(false);
    await audio.advance(100);
    expect(isSilent(sent().subarray(12_000))).toBe(false);
    expect(microphone.level).toBeGreaterThan(0.8);
    microphone.setMuted(true);
    const before = sent().length;
    await audio.advance(100);
    expect(isSilent(sent().subarray(before))).toBe(true);
    expect(muted).toEqual([true, false, true]);
  });

  it('stays muted over a stop, and may be muted before it runs', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone, sent } = setUp(audio);
    microphone.setMuted(true);
    await microphone.start();
    await audio.advance(50);
    await microphone.stop();
    await microphone.start();
    await audio.advance(50);
    expect(sent()).toHaveLength(2400);
    expect(isSilent(sent())).toBe(true);
  });

  it('refused stays off and says why; silence takes its place, and later a device', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone, sent, names } = setUp(audio);
    audio.deny();
    await expect(microphone.start()).rejects.toMatchObject({ code: 'permission-denied' });
    expect(microphone.state).toEqual({ status: 'off' });
    await microphone.start({ source: 'silence' });
    expect(microphone.state).toEqual({ status: 'silent', reason: 'chosen' });
    await audio.advance(100);
    expect(sent()).toHaveLength(2400);
    await expect(microphone.start()).rejects.toMatchObject({ code: 'permission-denied' });
    expect(microphone.state).toEqual({ status: 'silent', reason: 'chosen' });
    audio.allow();
    await microphone.start();
    await audio.advance(100);
    expect(isSilent(sent().subarray(2400))).toBe(false);
    expect(names()).toEqual(['starting', 'off', 'starting', 'silent', 'on']);
    expect(audio.openInputs).toBe(1);
  });

  it('changes the device without a gap, and keeps the old one when the new one fails', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone, sent } = setUp(audio);
    audio.plug({ id: 'headset', kind: 'input', label: 'Headset' });
    await microphone.start();
    await audio.advance(100);
    await microphone.setDevice('headset');
    expect(microphone.device).toMatchObject({ id: 'headset', label: 'Headset' });
    await expect(microphone.setDevice('none')).rejects.toMatchObject({ code: 'no-device' });
    expect(microphone.device).toMatchObject({ id: 'headset' });
    await audio.advance(100);
    expect(sent()).toHaveLength(4800);
    expect(audio.openInputs).toBe(1);
    await microphone.stop();
    expect(microphone.device).toBeUndefined();
    await microphone.start();
    expect(microphone.device).toMatchObject({ id: 'headset' });
  });

  it('lost goes on with the default one', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone, errors, names } = setUp(audio);
    audio.plug({ id: 'headset', kind: 'input' });
    await microphone.start({ deviceId: 'headset' });
    audio.unplug('headset');
    await audio.advance(10);
    expect(errors).toMatchObject([{ code: 'device-lost' }]);
    expect(microphone.device).toMatchObject({ id: 'microphone' });
    expect(names()).toEqual(['starting', 'on', 'silent', 'on']);
    expect(audio.openInputs).toBe(1);
  });

  it('lost for good gives silence, so that the model goes on, and takes the next device that comes', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone, sent, errors } = setUp(audio);
    await microphone.start();
    audio.unplug();
    await audio.advance(100);
    expect(microphone.state).toMatchObject({ status: 'silent', reason: 'device-lost', error: { code: 'device-lost' } });
    expect(sent()).toHaveLength(2400);
    expect(isSilent(sent())).toBe(true);
    audio.plug({ id: 'another', kind: 'input' });
    await audio.advance(100);
    expect(microphone.state).toMatchObject({ status: 'on', device: { id: 'another' } });
    expect(isSilent(sent().subarray(2640))).toBe(false);
    expect(errors).toHaveLength(1);
  });

  it('lost stays silent until it is told, where that is wanted', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone } = setUp(audio);
    audio.plug({ id: 'headset', kind: 'input' });
    await microphone.start({ deviceId: 'headset', onDeviceLost: 'silence' });
    audio.unplug('headset');
    await audio.advance(20);
    audio.plug({ id: 'another', kind: 'input' });
    await audio.advance(20);
    expect(microphone.state).toMatchObject({ status: 'silent', reason: 'device-lost' });
    await microphone.setDevice(undefined);
    expect(microphone.state).toMatchObject({ status: 'on', device: { id: 'microphone' } });
  });

  it('is not opened unasked when a stream of the caller’s ends', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const sinks: InputSink[] = [];
    const asked: InputOptions[] = [];
    const openInput = audio.openInput.bind(audio);
    audio.openInput = (options, sink) => {
      asked.push(options);
      sinks.push(sink);
      return openInput(options, sink);
    };
    const { microphone, names } = setUp(audio);
    const stream = { getAudioTracks: () => [] };
    await microphone.start({ stream });
    sinks[0]!.lost(new MoshiError('device-lost', 'it has ended'));
    audio.plug({ id: 'headset', kind: 'input' });
    await audio.advance(50);
    expect(asked).toMatchObject([{ stream }]);
    expect(microphone.state).toMatchObject({ status: 'silent', reason: 'device-lost' });
    await microphone.setDevice('headset');
    expect(names()).toEqual(['starting', 'on', 'silent', 'on']);
  });

  it('stopped lets go of the device and sends nothing more', async () => {
    const audio = fakeAudio({ microphone: tone(440, 10) });
    const { microphone, sent, sound } = setUp(audio);
    await microphone.start();
    await audio.advance(100);
    await microphone.stop();
    const before = sent().length;
    await audio.advance(100);
    expect(sent()).toHaveLength(before);
    expect(audio.openInputs).toBe(0);
    expect(microphone.state).toEqual({ status: 'off' });
    expect(sound.metrics.capture).toBeUndefined();
  });

  it('starting and stopping at once does both, in order', async () => {
    const audio = fakeAudio();
    const { microphone, names } = setUp(audio);
    await Promise.all([microphone.start(), microphone.stop(), microphone.start(), microphone.stop()]);
    expect(names()).toEqual(['starting', 'on', 'off', 'starting', 'on', 'off']);
    expect(audio.openInputs).toBe(0);
  });

  it('of a session that has ended does not start', async () => {
    const audio = fakeAudio();
    const { microphone, sound } = setUp(audio);
    await microphone.start();
    await sound.close();
    expect(audio.openInputs).toBe(0);
    await expect(microphone.start()).rejects.toMatchObject({ code: 'closed' });
    expect(microphone.state).toEqual({ status: 'off' });
  });

  it('without devices says what else there is', async () => {
    const { audio } = audioSession({});
    await expect(audio.microphone.start()).rejects.toThrow('use sendAudio and the event audio, or pass audio.platform');
    await expect(audio.speaker.start()).rejects.toMatchObject({ code: 'unsupported' });
    await expect(audio.record()).rejects.toMatchObject({ code: 'unsupported' });
    await expect(listDevices()).rejects.toMatchObject({ code: 'unsupported' });
    const { inputs } = await listDevices({ platform: fakeAudio() });
    expect(inputs).toMatchObject([{ id: 'microphone', isDefault: true }]);
  });
});

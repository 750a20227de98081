import { describe, expect, it, vi } from 'vitest';
import type { AudioPlatform, ConnectOptions, Recording } from '../src/index';
import { fakeAudio, tone } from '../src/testing/index';
import { audioSession } from './support/audio-session';
import { fakeSession } from './support/fake-session';

const ENDED = { code: 'closed', message: expect.stringContaining('the session has ended') };

/** A platform that does what another does, but for these. */
const changed = (platform: AudioPlatform, changes: Partial<AudioPlatform>): AudioPlatform => ({
  openInput: (options, sink) => platform.openInput(options, sink),
  openOutput: (options, sink) => platform.openOutput(options, sink),
  devices: () => platform.devices(),
  onDevices: (listener) => platform.onDevices(listener),
  ...changes,
});

const over = (platform: AudioPlatform, options: ConnectOptions = {}) =>
  fakeSession({ ...options, audio: { platform } });

describe('the sound of a session that has ended', () => {
  it('cannot be started, also where nobody asked for it before', async () => {
    const audio = fakeAudio();
    const record = vi.fn();
    const { session, transport } = await over(changed(audio, { record }));
    transport.hangUp();
    await expect(session.microphone.start()).rejects.toMatchObject(ENDED);
    await expect(session.speaker.start()).rejects.toMatchObject(ENDED);
    await expect(session.record()).rejects.toMatchObject(ENDED);
    expect([audio.openInputs, audio.openOutputs]).toEqual([0, 0]);
    expect(record).not.toHaveBeenCalled();
  });

  it('is sent to nobody: nothing follows the event closed', async () => {
    const audio = fakeAudio({ microphone: tone(440, 1), sampleRate: 48_000 });
    const { session, transport, names } = await over(audio);
    await session.microphone.start();
    await audio.advance(100);
    transport.hangUp();
    await audio.advance(100);
    expect(names().at(-1)).toBe('closed');
    expect(audio.openInputs).toBe(0);
  });

  it('lets go of a device that opens only then, and start says why', async () => {
    const audio = fakeAudio();
    let allow = () => {};
    const asked = new Promise<void>((resolve) => {
      allow = resolve;
    });
    const slow = changed(audio, {
      openInput: (...args) => asked.then(() => audio.openInput(...args)),
      openOutput: (...args) => asked.then(() => audio.openOutput(...args)),
    });
    const { session, transport } = await over(slow);
    const states: string[] = [];
    session.microphone.on('state', ({ status }) => states.push(status));
    session.speaker.on('state', ({ status }) => states.push(status));
    const starting = Promise.allSettled([session.microphone.start(), session.speaker.start()]);
    await vi.waitFor(() => expect(states).toEqual(['starting', 'starting']), 20_000);
    transport.hangUp();
    allow();
    expect(await starting).toMatchObject([{ reason: ENDED }, { reason: ENDED }]);
    expect([audio.openInputs, audio.openOutputs]).toEqual([0, 0]);
    expect(states).toEqual(['starting', 'starting', 'off', 'off']);
  });

  it('is let go of, device by device, also where one does not let go', async () => {
    const audio = fakeAudio();
    const stuck = changed(audio, {
      openInput: async (...args) => {
        const port = await audio.openInput(...args);
        port.close = () => Promise.reject(new Error('stuck'));
        return port;
      },
    });
    const { audio: sound } = audioSession({ platform: stuck });
    await sound.microphone.start();
    await sound.speaker.start();
    await sound.close();
    expect(audio.openOutputs).toBe(0);
    expect(sound.microphone.state).toEqual({ status: 'off' });
  });
});

describe('a recording', () => {
  const recorder = () => {
    const stop = vi.fn(async () => Uint8Array.of(1, 2));
    const recording: Recording = { seconds: 7, stop };
    return { recording, stop, platform: changed(fakeAudio(), { record: async () => recording }) };
  };

  it('ends with its session, and its file can still be had', async () => {
    const { stop, platform } = recorder();
    const { session, transport } = await over(platform);
    const recording = await session.record();
    expect(recording.seconds).toBe(7);
    expect(stop).not.toHaveBeenCalled();
    transport.hangUp();
    expect(stop).toHaveBeenCalledOnce();
    expect(await recording.stop()).toEqual(Uint8Array.of(1, 2));
    expect(stop).toHaveBeenCalledOnce();
  });

  it('that was stopped is left alone', async () => {
    const { stop, platform } = recorder();
    const { session, transport } = await over(platform);
    const recording = await session.record();
    expect(await recording.stop()).toBe(await recording.stop());
    transport.hangUp();
    expect(stop).toHaveBeenCalledOnce();
  });

  it('that begins only when the session has ended is none', async () => {
    const { recording, stop, platform } = recorder();
    let begin = () => {};
    platform.record = () =>
      new Promise((resolve) => {
        begin = () => resolve(recording);
      });
    const { session, transport } = await over(platform);
    const recorded = session.record();
    transport.hangUp();
    begin();
    await expect(recorded).rejects.toMatchObject(ENDED);
    expect(stop).toHaveBeenCalledOnce();
  });
});

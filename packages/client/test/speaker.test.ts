import { rms as loudness } from '@moshi/protocol/audio';
import { describe, expect, it, vi } from 'vitest';
import type { HeardWord, MoshiError, SpeakerState } from '../src/index';
import { compareEnvelopes, type FakeAudio, fakeAudio, speechLike, tone } from '../src/testing/index';
import { audioSession } from './support/audio-session';
import { fakeSession } from './support/fake-session';

const FRAME = 1920;

function setUp(audio: FakeAudio) {
  const session = audioSession({ platform: audio });
  const { speaker } = session.audio;
  const states: SpeakerState['status'][] = [];
  const errors: MoshiError[] = [];
  const words: HeardWord[] = [];
  speaker.on('state', ({ status }) => states.push(status));
  speaker.on('error', (error) => errors.push(error));
  speaker.on('word', (word) => words.push(word));
  /** The model speaks in real time, a frame every 80 ms. */
  const speak = async (pcm: Float32Array, frame?: (n: number) => void) => {
    for (let at = 0; at < pcm.length; at += FRAME) {
      session.reply(pcm.slice(at, at + FRAME));
      frame?.(at / FRAME);
      await audio.advance(80);
    }
  };
  return { ...session, speaker, states, errors, words, speak };
}

describe('a speaker', () => {
  it.each([24_000, 44_100, 48_000])('plays the model on a device of %i Hz', async (sampleRate) => {
    const audio = fakeAudio({ sampleRate });
    const { speaker, speak, states, audio: sound } = setUp(audio);
    const words = speechLike(3);
    await speaker.start();
    await speak(words);
    await audio.advance(500);
    const { correlation, delayMs } = compareEnvelopes(words, audio.heard);
    expect(correlation).toBeGreaterThan(0.99);
    expect(delayMs).toBeLessThanOrEqual(30);
    expect(states).toEqual(['starting', 'playing']);
    expect(speaker.playout.playedSeconds).toBeGreaterThan(2.9);
    expect(speaker.playout).toMatchObject({ overflows: 0, droppedMs: 0 });
    expect(speaker.clock.now).toBeCloseTo(3, 1);
    expect(sound.metrics.playout).toBe(speaker.playout);
  });

  it('tells a word when it is heard, not when it is read', async () => {
    const audio = fakeAudio();
    const { speaker, emit, words, speak } = setUp(audio);
    const texts: Record<number, string> = { 2: ' Good', 4: ' morn', 5: 'ing', 9: ' sun' };
    const heardAt = new Map<string, number>();
    let frame = 0;
    speaker.on('word', ({ text }) => heardAt.set(text, frame * 0.08));
    await speaker.start();
    await speak(tone(200, 2), (n) => {
      frame = n;
      if (texts[n]) emit('text', { text: texts[n], time: (n + 1) * 0.08 });
    });
    expect(words.map(({ text }) => text)).toEqual(['Good', 'morning', 'sun']);
    expect(words[1]!.time).toBeCloseTo(5 * 0.08, 6);
    for (const { text, time } of words) {
      expect(heardAt.get(text)).toBeGreaterThanOrEqual(time - 0.001);
      expect(heardAt.get(text)).toBeLessThan(time + 0.4);
    }
  });

  it('forgets sound and words when the model is interrupted, and is soft for a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const audio = fakeAudio();
      const { speaker, emit, words, reply, audio: sound } = setUp(audio);
      await speaker.start({ volume: 0.8 });
      reply(tone(300, 0.5));
      emit('text', { text: ' never heard', time: 0.4 });
      await audio.advance(150);
      expect(loudness(audio.heard.subarray(-480))).toBeGreaterThan(0.2);
      sound.interrupted();
      const before = audio.heard.length;
      await audio.advance(200);
      expect(loudness(audio.heard.subarray(before + 480))).toBe(0);
      expect(speaker.playout).toMatchObject({ state: 'empty', bufferedMs: 0 });
      reply(tone(300, 0.5));
      await audio.advance(300);
      const soft = loudness(audio.heard.subarray(-1200));
      expect(soft).toBeGreaterThan(0.01);
      expect(soft).toBeLessThan(0.05);
      expect(speaker.volume).toBe(0.8);
      vi.advanceTimersByTime(1000);
      reply(tone(300, 0.5));
      await audio.advance(300);
      expect(loudness(audio.heard.subarray(-1200))).toBeGreaterThan(0.2);
      expect(words).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('is interrupted through the session, on servers that cannot be too', async () => {
    const audio = fakeAudio();
    const { session, transport } = await fakeSession({ audio: { platform: audio } });
    expect(() => session.interrupt()).toThrow('stock servers cannot');
    await session.speaker.start();
    session.interrupt();
    expect(session.speaker.playout.state).toBe('empty');
    await session.speaker.stop();
    expect(() => session.interrupt()).toThrow('stock servers cannot');
    transport.hangUp();
  });

  it('counts what was missed and tells of it', async () => {
    const audio = fakeAudio();
    const { speaker, speak } = setUp(audio);
    const missed: number[] = [];
    speaker.on('underrun', ({ missedMs }) => missed.push(missedMs));
    await speaker.start();
    await speak(tone(200, 1));
    await audio.advance(300);
    await speak(tone(200, 1));
    expect(missed.reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(speaker.playout.missedMs, 6);
    expect(speaker.playout.missedMs).toBeGreaterThan(150);
  });

  it('that is blocked plays after resume; what the model said meanwhile is not heard, nor told of', async () => {
    const audio = fakeAudio();
    const { speaker, speak, states, words, emit } = setUp(audio);
    audio.blockAutoplay();
    await speaker.start();
    await audio.advance(10);
    expect(speaker.state).toEqual({ status: 'blocked' });
    emit('text', { text: ' Good morning. ', time: 0.2 });
    emit('say-word', { id: 1, word: 'Good', time: 0.2 });
    await speak(tone(200, 0.5));
    await speaker.resume();
    emit('text', { text: ' Good evening. ', time: 0.6 });
    await speak(tone(200, 0.5));
    expect(audio.heard.subarray(0, 12_000).every((sample) => sample === 0)).toBe(true);
    expect(loudness(audio.heard)).toBeGreaterThan(0.1);
    expect(speaker.playout.playedSeconds).toBeLessThan(0.6);
    expect(states.at(-1)).toBe('playing');
    expect(words).toEqual([
      { text: 'Good', time: 0.6 },
      { text: 'evening.', time: 0.6 },
    ]);
  });

  it('changes the volume and the device while it plays', async () => {
    const audio = fakeAudio();
    const { speaker, speak } = setUp(audio);
    audio.plug({ id: 'headphones', kind: 'output' });
    const devices: (string | undefined)[] = [];
    speaker.on('device', (device) => devices.push(device?.id));
    await speaker.start();
    await speak(tone(200, 0.5));
    speaker.setVolume(0);
    await speaker.setDevice('headphones');
    await speak(tone(200, 0.2));
    expect(loudness(audio.heard.subarray(-2400))).toBe(0);
    expect(speaker.level).toBe(0);
    await expect(speaker.setDevice('none')).rejects.toMatchObject({ code: 'no-device' });
    expect(devices).toEqual(['loudspeaker', 'headphones']);
    expect(() => speaker.setVolume(2)).toThrow('a volume is 0 to 1, not 2');
  });

  it('refuses what cannot be before it opens anything, and plays on', async () => {
    const audio = fakeAudio();
    const { speaker, states } = setUp(audio);
    const open = vi.spyOn(audio, 'openOutput');
    const wrong = { code: 'bad-option' };
    await expect(speaker.start({ volume: Number.NaN })).rejects.toMatchObject(wrong);
    await expect(speaker.start({ playout: { startMs: -1 } })).rejects.toMatchObject({
      ...wrong,
      message: expect.stringContaining('startMs is -1; it must be 0 to 60000 ms'),
    });
    expect(open).not.toHaveBeenCalled();
    expect(states).toEqual([]);
    await speaker.start();
    await expect(speaker.start({ volume: 7 })).rejects.toMatchObject(wrong);
    expect(speaker.state).toEqual({ status: 'playing' });
  });

  it('that loses its device goes on with the default one, or off', async () => {
    const audio = fakeAudio();
    const { speaker, errors } = setUp(audio);
    audio.plug({ id: 'headphones', kind: 'output' });
    await speaker.start({ deviceId: 'headphones' });
    audio.unplug('headphones');
    await audio.advance(20);
    expect(speaker.device).toMatchObject({ id: 'loudspeaker' });
    audio.unplug('loudspeaker');
    await audio.advance(20);
    expect(errors).toMatchObject([{ code: 'device-lost' }, { code: 'device-lost' }]);
    expect(speaker.state).toEqual({ status: 'off' });
    expect(audio.openOutputs).toBe(0);
  });

  it('that loses its device before it is open goes on with the default one, too', async () => {
    const audio = fakeAudio();
    audio.plug({ id: 'headphones', kind: 'output' });
    const openOutput = audio.openOutput.bind(audio);
    vi.spyOn(audio, 'openOutput').mockImplementation(async (options, sink) => {
      const port = await openOutput(options, sink);
      audio.unplug('headphones');
      return port;
    });
    const { speaker, errors } = setUp(audio);
    await speaker.start({ deviceId: 'headphones' });
    await vi.waitFor(() => expect(speaker.device).toMatchObject({ id: 'loudspeaker' }), 20_000);
    expect(errors).toMatchObject([{ code: 'device-lost' }]);
    expect(speaker.state).toEqual({ status: 'playing' });
  });

  it('that loses its device and does not let go of it is off', async () => {
    const audio = fakeAudio();
    const openOutput = audio.openOutput.bind(audio);
    vi.spyOn(audio, 'openOutput').mockImplementation(async (...args) => {
      const port = await openOutput(...args);
      port.close = () => Promise.reject(new Error('stuck'));
      return port;
    });
    const { speaker, errors } = setUp(audio);
    await speaker.start();
    audio.unplug('loudspeaker');
    await vi.waitFor(() => expect(speaker.state).toEqual({ status: 'off' }), 20_000);
    expect(errors).toMatchObject([{ code: 'device-lost' }]);
    // A rejection that nobody takes would come with the next turn.
    await audio.advance(20);
  });

  it('forgets the words of a conversation that is over, and ends with the session', async () => {
    const audio = fakeAudio();
    const { speaker, emit, words, speak, audio: sound } = setUp(audio);
    await speaker.start();
    emit('text', { text: ' gone ', time: 0.1 });
    emit('new-conversation', { awayMs: 1, reason: 'unknown' });
    await speak(tone(200, 1));
    expect(words).toEqual([]);
    await sound.close();
    expect(audio.openOutputs).toBe(0);
    expect(speaker.state).toEqual({ status: 'off' });
    await expect(speaker.start()).rejects.toMatchObject({ code: 'closed' });
  });
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeWav } from '@moshi/protocol/audio';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EngineError } from '../src/errors';
import { decodeVoice, VOICE_LIMITS } from '../src/voices/decode';

const fixtures = new URL('./fixtures/voices/', import.meta.url);
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-voice-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const fixture = (name: string) => readFile(new URL(name, fixtures));

async function decoded(bytes: Uint8Array, name = 'voice.bin', limits = VOICE_LIMITS): Promise<Float32Array> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return await decodeVoice(path, limits);
}

async function refused(bytes: Uint8Array, limits = VOICE_LIMITS): Promise<string> {
  const error = await decoded(bytes, 'voice.bin', limits).then(
    () => new Error('decoded'),
    (reason) => reason,
  );
  expect(error).toMatchObject({ name: 'EngineError', code: 'ENGINE_BAD_FILE' });
  expect(error.message).toMatch(/^"voice\.bin" cannot be read: [^\n]+$/);
  expect(error.message).not.toContain(folder);
  return error.message;
}

function sine(seconds: number, rate = 24_000, amplitude = 0.5): Float32Array {
  return Float32Array.from(
    { length: Math.round(seconds * rate) },
    (_, i) => amplitude * Math.sin((2 * Math.PI * 440 * i) / rate),
  );
}

/** Amplitude of one tone, away from the edges. */
function tone(pcm: Float32Array, hertz: number): number {
  const part = pcm.subarray(2400, 2400 + 12_000);
  let [re, im] = [0, 0];
  for (let i = 0; i < part.length; i++) {
    re += part[i]! * Math.cos((2 * Math.PI * hertz * i) / 24_000);
    im += part[i]! * Math.sin((2 * Math.PI * hertz * i) / 24_000);
  }
  return (2 * Math.hypot(re, im)) / part.length;
}

describe('decodeVoice', () => {
  it.each([
    ['tone.flac', 0.5],
    ['tone-flac.ogg', 0.5],
    ['tone.mp3', 0.5],
    ['tone-id3.mp3', 0.5],
    ['tone-vorbis.ogg', 0.5],
    ['tone.opus', 0.5],
    ['tone-stereo.ogg', 0.5],
    // In one of two channels, and in five of six.
    ['tone-left.mp3', 0.25],
    ['tone-surround.opus', (0.5 * 5) / 6],
  ])('reads %s by its content, as 24 kHz mono of the right length and pitch', async (name, amplitude) => {
    const pcm = await decoded(await fixture(name));
    // Opus ends with whole packets of 20 ms.
    expect(pcm.length).toBeGreaterThan(0.8 * 24_000 - 10);
    expect(pcm.length).toBeLessThanOrEqual(0.82 * 24_000);
    expect(tone(pcm, 440)).toBeGreaterThan(amplitude * 0.92);
    expect(tone(pcm, 440)).toBeLessThan(amplitude * 1.06);
    expect(tone(pcm, 880)).toBeLessThan(0.01);
  });

  it('starts where the sound starts: what the codecs put before it is left out', async () => {
    const exact = await decoded(await fixture('tone.flac'));
    for (const name of ['tone.mp3', 'tone-vorbis.ogg', 'tone.opus']) {
      const pcm = await decoded(await fixture(name));
      // A sine repeats every 55 samples; what the codecs put before it is no multiple of that.
      let best = { shift: 0, likeness: 0 };
      for (let shift = -27; shift <= 27; shift++) {
        let likeness = 0;
        for (let i = 2400; i < 14_400; i++) likeness += exact[i]! * pcm[i + shift]!;
        if (likeness > best.likeness) best = { shift, likeness };
      }
      expect(Math.abs(best.shift), name).toBeLessThanOrEqual(3);
    }
  });

  it('reads WAV of any rate and any number of channels, and cuts nothing at 24 kHz', async () => {
    const whole = sine(1);
    expect(await decoded(writeWav(whole, { encoding: 'float32' }))).toEqual(whole);
    const stereo = writeWav([sine(1, 48_000), new Float32Array(48_000)], { sampleRate: 48_000 });
    const mixed = await decoded(stereo);
    expect(mixed).toHaveLength(24_000);
    expect(tone(mixed, 440)).toBeCloseTo(0.25, 2);
  });

  it('says what is wrong with a recording', async () => {
    expect(await refused(writeWav(sine(0.3)))).toMatch(/it has 0\.30 seconds of sound: a voice of 5 to 15 seconds/);
    expect(await refused(writeWav(sine(60.1)))).toMatch(/longer than 60 seconds: a voice of 5 to 15 seconds is enough/);
    expect((await decoded(writeWav(sine(60)))).length).toBe(60 * 24_000);
    expect(await refused(writeWav(sine(1, 24_000, 5e-4), { encoding: 'float32' }))).toMatch(/it is silent/);
    expect(await refused(Buffer.from('this is only text'))).toMatch(/no WAV, FLAC, MP3, Ogg or Opus file: .*ffmpeg/);
    expect(await refused(new Uint8Array(0))).toMatch(/no WAV, FLAC/);
    expect(await refused(Buffer.from('RIFF\0\0\0\0WAVEjunk'))).toMatch(/WAV/);
    expect(await refused((await fixture('tone.opus')).subarray(0, 200))).toMatch(/no sound in it that can be decoded/);
    expect(await refused(await fixture('tone.flac'), { ...VOICE_LIMITS, fileBytes: 1000 })).toMatch(/MB/);
    expect(await refused(await fixture('tone-4k.flac'))).toMatch(/its 4000 Hz are outside 8000 to 192000 Hz/);
    await expect(decodeVoice(join(folder, 'none.wav'))).rejects.toThrow(
      /"none\.wav" cannot be read: there is no such file/,
    );
    await expect(decodeVoice(folder)).rejects.toThrow(/it is no file|EISDIR/);
  });

  it.each(['tone.flac', 'tone.mp3', 'tone-vorbis.ogg', 'tone.opus'])(
    'stops decoding %s when it is too long',
    async (name) => {
      expect(await refused(await fixture(name), { ...VOICE_LIMITS, maxSeconds: 0.5 })).toMatch(
        /longer than 0\.5 seconds/,
      );
    },
  );

  it('is not shaken by damage: it decodes or refuses', async () => {
    // The decoders tell the console too.
    const quiet = vi.spyOn(console, 'error').mockImplementation(() => {});
    let state = 1;
    const next = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const names = ['tone.flac', 'tone-flac.ogg', 'tone-id3.mp3', 'tone-vorbis.ogg', 'tone.opus', 'tone-surround.opus'];
    for (const name of names) {
      const whole = await fixture(name);
      for (let round = 0; round < 25; round++) {
        const damaged = Buffer.from(whole);
        for (let i = next(12); i >= 0; i--) damaged[next(next(2) ? 200 : damaged.length)] = next(256);
        const cut = next(3) === 0 ? damaged.subarray(0, next(damaged.length)) : damaged;
        const result = await decoded(cut).catch((error) => error);
        if (!(result instanceof Float32Array)) expect(result, `${name} ${round}`).toBeInstanceOf(EngineError);
        else expect(result.every((sample) => Math.abs(sample) <= 1.5)).toBe(true);
      }
    }
    quiet.mockRestore();
  });
});

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect } from '@moshi/client';
import { concat } from '@moshi/protocol/audio';
import { createServer, type Server } from '@moshi/server';
import { OggOpusDecoder } from 'ogg-opus-decoder';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Running, startExample } from './support/example';
import { type FakeOpenAi, fakeOpenAi } from './support/fake-openai';
import { ANSWER, speakingEngine } from './support/speaking-engine';
import { silence, speech, toneShare, until } from './support/speech';

const run = promisify(execFile);
const RATE = 48_000; // of decoded Opus

/** How alike two sounds are with `a` moved by `shift` samples, 1 being the same. */
function likeness(a: Float32Array, b: Float32Array, shift: number): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < b.length; i++) {
    const x = a[i + shift] ?? 0;
    ab += x * b[i]!;
    aa += x * x;
    bb += b[i]! * b[i]!;
  }
  return ab / Math.sqrt(aa * bb);
}

describe('record-and-transcribe', () => {
  let moshi: Server;
  let openai: FakeOpenAi;
  let recorder: Running;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moshi-recordings-'));
    moshi = await createServer({ engine: speakingEngine(), port: 0 });
    openai = await fakeOpenAi(() => [], 'I have a question');
    recorder = await startExample('record-and-transcribe', {
      MOSHI_URL: moshi.url,
      RECORDINGS: folder,
      OPENAI_BASE_URL: openai.baseUrl,
      OPENAI_API_KEY: openai.key,
      TRANSCRIBE_MODEL: 'ears',
    });
  });
  afterAll(async () => {
    await recorder?.stop();
    await moshi?.close();
    await openai?.close();
    await rm(folder, { recursive: true });
  });

  it('keeps both sides of a conversation, in time, with who said what', async () => {
    const session = await connect(recorder.url);
    let said = '';
    session.on('text', ({ text }) => {
      said += text;
    });
    const voice = speech(1.5);
    const input = concat([silence(0.4), voice, silence(2)]);
    for (let at = 0; at < input.length; at += 1920) {
      session.sendAudio(input.slice(at, at + 1920));
      await new Promise((resolve) => setTimeout(resolve, 80));
    }
    await until(() => said.trim() === ANSWER);
    await session.close();
    await until(() => recorder.output().includes('recorded '));

    const files = await readdir(folder);
    expect(files.map((name) => name.split('.').at(-1)).sort()).toEqual(['json', 'ogg', 'txt', 'vtt']);
    const named = (end: string) => join(folder, files.find((name) => name.endsWith(end))!);

    const decoder = new OggOpusDecoder();
    await decoder.ready;
    const { channelData, errors } = await decoder.decodeFile(new Uint8Array(await readFile(named('.ogg'))));
    decoder.free();
    const [left, right] = channelData as [Float32Array, Float32Array];
    expect(errors).toEqual([]);
    expect(left.length / RATE).toBeGreaterThan(3);
    // Not a sample more than the frames that were recorded.
    expect(left.length % (0.08 * RATE)).toBe(0);
    // The user is on the left where he spoke, give or take a frame at the start, and not on the right.
    const wanted = Float32Array.from({ length: voice.length }, (_, i) => voice[i]!);
    const at24 = Float32Array.from({ length: left.length >> 1 }, (_, i) => left[2 * i]!);
    const shifts = Array.from({ length: 4800 }, (_, i) => 0.4 * 24_000 - 2400 + i);
    const best = Math.max(...shifts.filter((_, i) => i % 4 === 0).map((shift) => likeness(at24, wanted, shift)));
    expect(best).toBeGreaterThan(0.8);
    const tone = right.findIndex((sample) => Math.abs(sample) > 0.1);
    expect(toneShare(right.slice(tone + 600, tone + 6000), 440, RATE)).toBeGreaterThan(0.9);
    expect(toneShare(left.slice(tone + 600, tone + 6000), 440, RATE)).toBeLessThan(0.5);

    const lines = JSON.parse(await readFile(named('.json'), 'utf8'));
    expect(lines.map(({ speaker, text }: Record<string, string>) => [speaker, text])).toEqual([
      ['user', 'I have a question'],
      ['model', ANSWER],
    ]);
    // A transcript's time is the recording's: the words are where the sound is.
    expect(Math.abs(lines[1].start - tone / RATE)).toBeLessThan(0.3);
    expect(lines[0].end).toBeLessThan(lines[1].start);
    const clock = '\\d\\d:\\d\\d:\\d\\d\\.\\d{3}';
    expect(await readFile(named('.txt'), 'utf8')).toMatch(
      new RegExp(`^\\[${clock}\\] user: I have a question\n\\[${clock}\\] model: ${ANSWER}\n$`),
    );
    const cue = (who: string, what: string) => `\n${clock} --> ${clock}\n<v ${who}>${what}\n`;
    expect(await readFile(named('.vtt'), 'utf8')).toMatch(
      new RegExp(`^WEBVTT\n${cue('user', 'I have a question')}${cue('model', ANSWER)}$`),
    );
    await tools(named('.ogg'), left.length / RATE);
  });

  it('writes down who hangs up in the middle of a word', async () => {
    const before = new Set(await readdir(folder));
    const session = await connect(recorder.url);
    const input = concat([silence(0.4), speech(1)]);
    for (let at = 0; at < input.length; at += 1920) {
      session.sendAudio(input.slice(at, at + 1920));
      await new Promise((resolve) => setTimeout(resolve, 80));
    }
    await session.close();
    const isNew = (name: string) => name.endsWith('.json') && !before.has(name);
    let name: string | undefined;
    while (name === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      name = (await readdir(folder)).find(isNew);
    }
    await until(() => recorder.output().split('recorded ').length > 2);
    const lines = JSON.parse(await readFile(join(folder, name), 'utf8'));
    expect(lines[0]).toMatchObject({ speaker: 'user', text: 'I have a question' });
  });
});

/** What real Ogg tools say, where they are installed. */
async function tools(file: string, seconds: number): Promise<void> {
  const opusinfo = await run('opusinfo', [file]).catch((error) => (error.code === 'ENOENT' ? undefined : error));
  if (opusinfo) {
    expect(opusinfo.stdout).toContain('Channels: 2');
    expect(`${opusinfo.stdout}${opusinfo.stderr}`).not.toMatch(/WARNING|ERROR/);
  }
  const probe = ['-v', 'error', '-show_entries', 'stream=codec_name,channels:format=duration', '-of', 'json', file];
  const ffprobe = await run('ffprobe', probe).catch((error) => (error.code === 'ENOENT' ? undefined : error));
  if (!ffprobe) return;
  expect(ffprobe.stderr).toBe('');
  const { streams, format } = JSON.parse(ffprobe.stdout);
  expect(streams).toMatchObject([{ codec_name: 'opus', channels: 2 }]);
  expect(Number(format.duration)).toBeCloseTo(seconds, 1);
}

import { execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { concat, pcm16 } from '@moshi/protocol/audio';
import { createServer, loopbackEngine } from '@moshi/server';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findProgram } from '../src/sound/find-program';
import { SystemSound } from '../src/sound/system-sound';
import { moshi } from './support/command';
import { melody, toneSeconds } from './support/tones';

const programs = ['arecord', 'aplay'].map((name) => findProgram(name, process.env, process.platform));
const MISSING = process.platform !== 'linux' || programs.includes(undefined);
if (MISSING)
  console.log('ALSA programs of the system: skipped, as there is no arecord and aplay (apt-get install alsa-utils)');

const TONES = [400, 800, 1600];
const SECONDS = 0.6;
const words = melody(TONES, SECONDS);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-alsa-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** An ALSA whose default microphone is what `microphone` gives, and then anything, and whose loudspeaker is `played`. */
async function alsa() {
  const bin = join(folder, 'bin');
  await mkdir(bin);
  for (const path of programs) await symlink(path!, join(bin, path!.split('/').at(-1)!));
  const [config, microphone, out] = ['asoundrc', 'microphone', 'loudspeaker'].map((name) => join(folder, name));
  await writeFile(
    config!,
    `pcm.nobody { type null }
    pcm.!default {
      type asym
      capture.pcm { type file slave.pcm nobody file "/dev/null" infile "${microphone}" format raw }
      playback.pcm { type file slave.pcm nobody file "${out}" format raw }
    }`,
  );
  const played = async () => pcm16.decode(await readFile(out!).catch(() => Buffer.alloc(0)));
  return { env: { PATH: bin, ALSA_CONFIG_PATH: config }, microphone: microphone!, played };
}

describe.skipIf(MISSING)('sound through the real programs of ALSA', () => {
  it('makes a microphone wait that gives as much as one takes, and loses nothing of it', async () => {
    const { env, microphone } = await alsa();
    await writeFile(microphone, pcm16.encode(words));
    const parts: Float32Array[] = [];
    let samples = 0;
    const begin = performance.now();
    const sink = {
      samples: (pcm: Float32Array) => {
        samples += pcm.length;
        if (samples < 240_000) parts.push(pcm.slice());
      },
      lost: () => {},
      interrupted: () => {},
    };
    const port = await new SystemSound({ env }).openInput({ muted: false }, sink);
    await vi.waitUntil(() => samples > 4 * 24_000, 30_000);
    const seconds = (performance.now() - begin) / 1000;
    // A burst, and one read of a pipe.
    expect(samples / 24_000).toBeLessThan(seconds * 1.01 + 2 + 2 * (65_536 / 48_000));
    await port.close();
    const heard = concat(parts);
    expect(pcm16.encode(heard.subarray(0, words.length))).toEqual(pcm16.encode(words));
  });

  it('is heard in a call as it was said, at the pace of the microphone', async () => {
    const { env, microphone, played } = await alsa();
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    execFileSync('/usr/bin/env', ['PATH=/usr/bin:/bin', 'mkfifo', microphone]);
    const server = await createServer({ engine: loopbackEngine(), port: 0 });
    const stop = new AbortController();
    const running = moshi(['chat', server.url], { signal: stop.signal });
    const pipe = createWriteStream(microphone);
    // Gone when the call is over.
    pipe.on('error', () => {});
    const bytes = pcm16.encode(words);
    // What is said while a microphone opens is nobody's.
    let at = -24_000;
    const timer = setInterval(() => {
      const piece = Buffer.alloc(960);
      if (at >= 0) piece.set(bytes.subarray(at, at + 960));
      at += 960;
      pipe.write(piece);
    }, 20);
    await vi.waitUntil(async () => toneSeconds(await played(), TONES[2]!) > SECONDS - 0.1, {
      timeout: 30_000,
      interval: 200,
    });
    stop.abort();
    expect((await running).status).toBe(0);
    clearInterval(timer);
    pipe.destroy();
    await server.close({ graceMs: 0 });
    const heard = await played();
    for (const hz of TONES) expect(Math.abs(toneSeconds(heard, hz) - SECONDS)).toBeLessThan(0.1);
  });

  it('tells of a device that is not there in the words of ALSA', async () => {
    const { env } = await alsa();
    const sound = new SystemSound({ env });
    const sink = { samples: () => {}, lost: () => {}, interrupted: () => {} };
    await expect(sound.openInput({ muted: false, deviceId: 'alsa:hw:9' }, sink)).rejects.toMatchObject({
      code: 'no-device',
      message: expect.stringContaining('(arecord: audio open error: No such file or directory)'),
    });
  });
});

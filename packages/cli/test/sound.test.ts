import { join } from 'node:path';
import type { InputSink, MoshiError, OutputSink, OutputStatus } from '@moshi/client';
import { compareEnvelopes, speechLike, tone } from '@moshi/client/testing';
import { concat, pcm16 } from '@moshi/protocol/audio';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CatchUp } from '../src/sound/catch-up';
import { fileInput, fileOutput } from '../src/sound/file-sound';
import { SystemOutput } from '../src/sound/system-output';
import { SystemSound } from '../src/sound/system-sound';
import { openToolDrain } from '../src/sound/tool-ports';
import { soundTools } from '../src/sound/tools';
import { bytesToFloats, type FakeTools, fakeTools, floatBytes } from './support/fake-tools';
import { melody, toneSeconds } from './support/tones';

const made: { remove?(): Promise<void>; close?(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of made.splice(0).reverse()) await (each.close ?? each.remove)?.call(each);
});

async function tools(scripts: Parameters<typeof fakeTools>[0]): Promise<FakeTools & { sound: SystemSound }> {
  const found = await fakeTools(scripts);
  made.push(found);
  return { ...found, sound: new SystemSound({ platform: 'linux', env: found.env }) };
}

type Sound = Pick<SystemSound, 'openInput' | 'openOutput'>;

async function listen(
  sound: Pick<Sound, 'openInput'>,
  options: { muted?: boolean; deviceId?: string; source?: 'silence' } = {},
) {
  let heard = new Float32Array(0);
  const lost: MoshiError[] = [];
  const sink: InputSink = {
    samples(pcm) {
      heard = Float32Array.from([...heard, ...pcm]);
    },
    lost: (error) => lost.push(error),
    interrupted: () => {},
  };
  const port = await sound.openInput({ muted: false, ...options }, sink);
  made.push(port);
  return {
    port,
    lost,
    heard: () => heard,
    until: (samples: number) => vi.waitUntil(() => heard.length >= samples, 10_000),
  };
}

async function play(sound: Pick<Sound, 'openOutput'>, options: { volume?: number; deviceId?: string } = {}) {
  const statuses: OutputStatus[] = [];
  const lost: MoshiError[] = [];
  const sink: OutputSink = {
    state: () => {},
    status: (status) => statuses.push(status),
    lost: (error) => lost.push(error),
  };
  const port = await sound.openOutput({ volume: 1, playout: {}, ...options }, sink);
  made.push(port);
  return { port, statuses, lost };
}

const RAW = ['--raw', '--rate=24000', '--channels=1', '--format=float32le'];

describe('sound through the programs of the system', () => {
  it('comes from the microphone as it was said, in whatever pieces', async () => {
    const words = speechLike(1, 2);
    const { sound, started } = await tools({ parec: { records: floatBytes(words) } });
    const { port, heard, until } = await listen(sound);
    await until(24_000);
    expect(heard().subarray(0, 24_000)).toEqual(words);
    expect(port.device).toEqual({ id: 'pulse:default', label: 'default microphone', kind: 'input', isDefault: true });
    await port.close();
    expect(await started('parec')).toEqual([[...RAW, '--latency-msec=20']]);
  });

  it('goes to the loudspeaker through the jitter buffer, with its volume', async () => {
    const { sound, started, played } = await tools({ pacat: {} });
    const { port, statuses } = await play(sound, { volume: 0.5, deviceId: 'pulse:usb' });
    const tones = [400, 800, 1600];
    const words = melody(tones, 0.4);
    port.push(words, 0);
    await vi.waitUntil(() => (statuses.at(-1)?.playedSeconds ?? 0) > 1.1, 10_000);
    await vi.waitUntil(async () => (await played('pacat')).length > 1.2 * 96_000, 10_000);
    await port.close();
    const heard = bytesToFloats(await played('pacat'));
    for (const hz of tones) expect(Math.abs(toneSeconds(heard, hz) - 0.4)).toBeLessThan(0.1);
    expect(Math.max(...heard)).toBeCloseTo(Math.max(...words) / 2, 1);
    expect(await started('pacat')).toEqual([['--playback', '--verbose', ...RAW, '--latency-msec=60', '--device=usb']]);
    const [{ time, atMs }] = statuses.filter(({ state }) => state === 'playing') as [OutputStatus];
    expect(time).toBeGreaterThanOrEqual(0);
    expect(atMs).toBeGreaterThan(0);
  });

  it('takes the 16 bits of ALSA where there is no PulseAudio, and tries what comes next where there is no server', async () => {
    const words = tone(300, 0.5);
    const { sound, started } = await tools({
      parec: { fails: 'Connection failure: Connection refused' },
      arecord: { records: pcm16.encode(words) },
    });
    const { heard, until } = await listen(sound);
    await until(12_000);
    expect(
      heard()
        .subarray(0, 12_000)
        .every((sample, i) => Math.abs(sample - words[i]!) < 1e-4),
    ).toBe(true);
    expect(await started('parec')).toHaveLength(1);
    const [args] = await started('arecord');
    expect(args?.join(' ')).toBe(
      '-q -t raw -f S16_LE -r 24000 -c 1 --period-time=20000 --buffer-time=500000 -D default',
    );
  });

  it('says what each tool said when none works, and what to install when there is none', async () => {
    const { sound } = await tools({
      parec: { fails: 'Connection refused' },
      arecord: { fails: 'arecord: main:831: audio open error: Device or resource busy' },
    });
    await expect(listen(sound)).rejects.toMatchObject({
      code: 'no-device',
      message:
        'no microphone could be opened (parec: Connection refused; arecord: audio open error: Device or resource busy): ' +
        'start the sound system, choose one of --list-devices, or give --in FILE or --no-microphone',
    });
    await expect(listen(sound, { deviceId: 'alsa:hw:1' })).rejects.toMatchObject({ code: 'device-busy' });
    await expect(listen(sound, { deviceId: 'sox:x' })).rejects.toMatchObject({
      code: 'no-device',
      message: expect.stringContaining('--list-devices'),
    });
    const none = (await tools({})).sound;
    expect(() => none.check('input')).toThrow(
      'there is no program here for the microphone (parec, arecord, sox, ffmpeg): apt-get install pulseaudio-utils, or give --in FILE or --no-microphone',
    );
    await expect(play(none)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('--out FILE'),
    });
    await (await listen(none, { source: 'silence' })).until(480);
  });

  it('hears silence at the same pace once the tool is gone, and plays on to nobody', async () => {
    const loud = floatBytes(tone(440, 10));
    const { sound } = await tools({
      parec: { records: loud, fails: 'Stream error: Device gone', afterMs: 150 },
      pacat: { fails: 'Stream error: Device gone', afterMs: 600 },
    });
    const { port, lost, heard, until } = await listen(sound);
    await vi.waitUntil(() => lost.length > 0, 10_000);
    expect(lost).toMatchObject([
      { code: 'device-lost', message: expect.stringContaining('parec: Stream error: Device gone') },
    ]);
    expect(port.device).toBeUndefined();
    const before = heard().length;
    expect(Math.max(...heard())).toBeGreaterThan(0.4);
    await until(before + 4800);
    expect(
      heard()
        .subarray(before)
        .every((sample) => sample === 0),
    ).toBe(true);
    const speaker = await play(sound);
    await vi.waitUntil(() => speaker.lost.length > 0, 10_000);
    expect(speaker.lost).toMatchObject([{ code: 'device-lost' }]);
    speaker.port.push(tone(440, 0.5), 0);
    await vi.waitUntil(() => (speaker.statuses.at(-1)?.playedSeconds ?? 0) >= 0.49, 10_000);
  });

  it('writes no more after a standstill than the loudspeaker has room for, so that nothing stays late', async () => {
    const pieces: number[] = [];
    const write = (pcm: Float32Array) => void pieces.push(pcm.length);
    const drain = { device: undefined, latencyMs: 60, write, close: () => {} };
    const sink = { state: () => {}, status: () => {}, lost: () => {} };
    const port = await SystemOutput.open(async () => drain, { volume: 1, playout: {} }, sink);
    made.push(port);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(pieces).toEqual([]);
    port.push(speechLike(2), 0);
    await vi.waitUntil(() => pieces.length > 0, 20_000);
    const until = performance.now() + 300;
    while (performance.now() < until);
    const before = pieces.length;
    await vi.waitUntil(() => pieces.length > before, 20_000);
    expect(pieces[before]).toBe(1440);
  });

  it('leaves pauses out while a player may hold too much, and no others', () => {
    const [pause, loud] = [new Float32Array(2400), tone(300, 0.1)];
    const late = new CatchUp();
    const leftOut = (times: number) =>
      Array.from({ length: times }, () => late.leavesOut(pause)).filter(Boolean).length;
    // A player that starts: two seconds, and after a sound not before its end is out.
    expect(leftOut(5)).toBe(5);
    expect(late.leavesOut(loud)).toBe(false);
    expect(leftOut(30)).toBe(15);
    // It ran dry because nothing was written.
    late.ranDry();
    expect(leftOut(5)).toBe(0);
    late.owe(200);
    expect(leftOut(5)).toBe(2);
    late.owe(200);
    late.owe(0);
    expect(leftOut(5)).toBe(0);
  });

  it('writes no pauses to a player that tells that it is late', async () => {
    const { env, started, played } = await tools({ pacat: { tells: 'Time: 0.100 sec; Latency: 60000 usec.\r' } });
    const [tool] = soundTools('linux').playback;
    const device = { id: 'pulse:default', label: 'x', kind: 'output', isDefault: true } as const;
    const found = { tool: tool!, path: join(env.PATH!, 'pacat'), env };
    const drain = await openToolDrain(found, undefined, device, () => {});
    made.push({ close: async () => drain.close() });
    drain.write(tone(400, 1));
    await vi.waitUntil(
      async () => (await started('pacat')).length === 1 && (await played('pacat')).length >= 96_000,
      20_000,
    );
    // More than one that begins is given, and then more again.
    let same = 0;
    for (let before = 0; same < 60; ) {
      drain.write(new Float32Array(2400));
      await new Promise((resolve) => setTimeout(resolve, 10));
      const { length } = await played('pacat');
      same = length === before ? same + 1 : 0;
      before = length;
    }
    drain.write(tone(1600, 0.5));
    await vi.waitUntil(async () => toneSeconds(bytesToFloats(await played('pacat')), 1600) > 0.4, 20_000);
  });

  it('says that the loudspeaker is silent when its player takes no sound, and ends that', async () => {
    const { env } = await tools({ pacat: { stuck: true } });
    const [tool] = soundTools('linux').playback;
    const device = { id: 'pulse:default', label: 'x', kind: 'output', isDefault: true } as const;
    const onLost = vi.fn();
    const drain = await openToolDrain({ tool: tool!, path: join(env.PATH!, 'pacat'), env }, undefined, device, onLost);
    made.push({ close: async () => drain.close() });
    for (let i = 0; i < 40; i++) drain.write(tone(400, 0.1));
    expect(onLost).not.toHaveBeenCalled();
    for (let i = 0; i < 100; i++) drain.write(tone(400, 0.1));
    expect(onLost.mock.calls).toMatchObject([
      [{ code: 'device-lost', message: 'the loudspeaker is silent (pacat: it took no sound for 5 s)' }],
    ]);
  });

  it('asks whether there is a microphone again, as long as one is lost', async () => {
    const { sound } = await tools({ parec: { records: floatBytes(tone(440, 10)), fails: 'gone', afterMs: 100 } });
    const came = vi.fn();
    const stop = sound.onDevices(came, 20);
    const { lost } = await listen(sound);
    expect(came).not.toHaveBeenCalled();
    await vi.waitUntil(() => lost.length > 0, 10_000);
    await vi.waitUntil(() => came.mock.calls.length > 1, 10_000);
    await listen(sound);
    stop();
    came.mockClear();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(came).not.toHaveBeenCalled();
  });

  it('opens what it ran on again, and no program of another sound system', async () => {
    const { sound, started } = await tools({
      parec: { records: floatBytes(tone(440, 10)) },
      arecord: { records: pcm16.encode(tone(440, 10)) },
    });
    await listen(sound, { deviceId: 'alsa:hw:1,0' });
    const { port } = await listen(sound);
    expect(port.device).toMatchObject({ id: 'alsa:default' });
    expect(await started('parec')).toEqual([]);
    expect((await started('arecord')).map((args) => args.at(-1))).toEqual(['hw:1,0', 'default']);
  });

  it('mutes without losing the pace', async () => {
    const { sound } = await tools({ parec: { records: floatBytes(tone(440, 10)) } });
    const { port, heard, until } = await listen(sound, { muted: true });
    await until(4800);
    expect(heard().every((sample) => sample === 0)).toBe(true);
    expect(port.level).toBe(0);
    port.setMuted(false);
    await until(heard().length + 4800);
    expect(Math.max(...heard())).toBeGreaterThan(0.4);
    expect(port.level).toBeGreaterThan(0.8);
  });
});

describe('the tools of other systems', () => {
  it('get the arguments for one stream of 24 kHz floats', () => {
    const commands = (platform: NodeJS.Platform) => {
      const { capture, playback } = soundTools(platform);
      return [...capture, ...playback].map(({ program, args }) => `${program} ${args('NAME').join(' ')}`);
    };
    const raw = '-t raw -e floating-point -b 32 -L -r 24000 -c 1 -';
    expect(commands('darwin')).toEqual([
      `sox -q --buffer 1024 -t coreaudio NAME ${raw}`,
      'ffmpeg -nostdin -hide_banner -loglevel error -fflags nobuffer -probesize 32 -analyzeduration 0 -f avfoundation -i :NAME -af aresample=rematrix_maxval=1 -ac 1 -ar 24000 -f f32le -flush_packets 1 pipe:1',
      `sox -q --buffer 1024 ${raw} -t coreaudio NAME`,
      expect.stringContaining('-f f32le -ar 24000 -ch_layout mono -i pipe:0'),
    ]);
    expect(commands('win32')[0]).toBe(`sox -q --buffer 1024 -t waveaudio NAME ${raw}`);
    expect(commands('win32')[1]).toContain('-f dshow -audio_buffer_size 20 -i audio=NAME');
    expect(soundTools('win32').capture[1]?.needsDevice).toBe(true);
    const [sox] = soundTools('win32').playback;
    expect(sox?.args(undefined).slice(-3)).toEqual(['-t', 'waveaudio', 'default']);
    expect(soundTools('linux').capture[2]?.args(undefined)).toContain('-d');
  });
});

describe('files in place of devices', () => {
  it('are heard in real time, then silence; and take what would be heard, pauses included', async () => {
    const words = speechLike(0.5, 4);
    const ended = vi.fn();
    const { heard, until } = await listen(fileInput(words, ended));
    await until(14_400);
    expect(heard().subarray(0, 12_000)).toEqual(words);
    expect(
      heard()
        .subarray(12_000)
        .every((sample) => sample === 0),
    ).toBe(true);
    expect(ended).toHaveBeenCalledTimes(1);
    const parts: Float32Array[] = [];
    const { port, statuses } = await play(fileOutput((pcm) => parts.push(pcm)));
    await vi.waitUntil(() => parts.length > 3, 10_000);
    port.push(words, 0);
    await vi.waitUntil(() => (statuses.at(-1)?.playedSeconds ?? 0) >= 0.49, 10_000);
    const all = concat(parts);
    expect(all.subarray(0, 240).every((sample) => sample === 0)).toBe(true);
    // What comes late is waited for.
    expect(statuses.at(-1)?.targetMs).toBeGreaterThanOrEqual(300);
    expect(compareEnvelopes(words, all).correlation).toBeGreaterThan(0.95);
  });
});

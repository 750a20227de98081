import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Session } from '@moshi/client';
import { compareEnvelopes, type FakeAudio, fakeAudio, speechLike } from '@moshi/client/testing';
import { createServer, type Engine, loopbackEngine, type Server, type ServerOptions } from '@moshi/server';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findDevice, openSound } from '../src/chat/sound';
import { SoundWatch } from '../src/chat/sound-watch';
import type { ChatView } from '../src/chat/view';
import type { Host } from '../src/host';
import { readWav, writeWav } from '../src/index';
import { moshi, type Outcome } from './support/command';
import { bytesToFloats, fakeTools, floatBytes } from './support/fake-tools';
import { scriptedEngine } from './support/scripted-engine';
import { FakeKeyboard, FakeTerminal } from './support/terminal';
import { melody, toneSeconds } from './support/tones';

const UNTRAINED = 'moshi: this model is untrained: it babbles\n';

let folder: string;
const servers: Server[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moshi-chat-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(servers.splice(0).map((server) => server.close({ graceMs: 100 })));
  await rm(folder, { recursive: true, force: true });
});

async function serve(engine: Engine = loopbackEngine(), options: Partial<ServerOptions> = {}): Promise<Server> {
  const server = await createServer({ engine, port: 0, ...options });
  servers.push(server);
  return server;
}

/** A call in a terminal of the test's own: what it shows, its keys, its devices, and how it ends. */
function call(args: string[], audio: FakeAudio = fakeAudio(), host: Partial<Host> = {}) {
  const terminal = new FakeTerminal();
  const keyboard = new FakeKeyboard();
  let stderr = '';
  const ended = moshi(['chat', ...args], {
    ...{ stdout: terminal, stdin: keyboard, sound: audio },
    stderr: { write: (text: string) => (stderr += text) },
    ...host,
  });
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  /** Lets time pass at the devices until something holds. */
  const until = async (holds: () => boolean) => {
    while (!holds()) {
      if (isOver) throw new Error(`the call ended before: ${stderr}\n${terminal.shown}`);
      await audio.advance(20);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  const shows = (text: string) => until(() => terminal.shown.includes(text));
  return { terminal, keyboard, audio, ended, until, shows, stderr: () => stderr };
}

describe('moshi chat in a terminal', () => {
  it('plays what it hears, and lights words up when they are heard', async () => {
    const words = speechLike(2, 6);
    const engine = scriptedEngine({ text: { 4: ' Hello', 10: ' there' } });
    const server = await serve(engine);
    const talk = call([server.url, '--voice', 'NATF2', '--seed', '5'], fakeAudio({ microphone: words }));
    await talk.shows('~Hello~');
    expect(talk.terminal.shown).not.toContain('*Hello*');
    await talk.shows('*Hello*');
    await talk.shows('Hello *there*');
    await talk.until(() => talk.audio.heard.length > 3 * 24_000);
    expect(talk.keyboard.raw).toBe(true);
    talk.keyboard.press('q');
    expect((await talk.ended).status).toBe(0);
    expect(compareEnvelopes(words, talk.audio.heard).correlation).toBeGreaterThan(0.9);
    expect(engine.opened).toMatchObject([{ voice: 'NATF2.pt', textSeed: 5, audioSeed: 5 }]);
    expect([talk.audio.openInputs, talk.audio.openOutputs, talk.keyboard.raw]).toEqual([0, 0, false]);
    expect(talk.stderr()).toBe('');
    expect(talk.terminal.shown).toContain('~· use headphones');
  });

  it('mutes, and the model hears silence', async () => {
    const server = await serve();
    const talk = call([server.url], fakeAudio({ microphone: speechLike(60, 2) }));
    await talk.until(() => talk.audio.heard.some((sample) => Math.abs(sample) > 0.1));
    talk.keyboard.press('m');
    await talk.shows('muted');
    // What was said before is on its way for a moment.
    const at = talk.audio.heard.length;
    await talk.until(() => talk.audio.heard.length > at + 36_000);
    expect(talk.audio.heard.subarray(at + 24_000).every((sample) => Math.abs(sample) < 0.01)).toBe(true);
    talk.keyboard.press('m');
    const end = talk.audio.heard.length;
    await talk.until(() => talk.audio.heard.subarray(end).some((sample) => Math.abs(sample) > 0.1));
    talk.keyboard.press('\x03');
    expect((await talk.ended).status).toBe(0);
  });

  it('lets the model say what is typed, and says when it cannot', async () => {
    const server = await serve(scriptedEngine({ stepsPerWord: 1 }));
    const talk = call([server.url]);
    await talk.shows('0:00');
    talk.keyboard.press('sYour order has shipped.');
    await talk.shows('*say:* Your order has shipped.▏');
    talk.keyboard.press('\r');
    await talk.shows('Your order has *shipped.*');
    talk.keyboard.press('q');
    expect((await talk.ended).status).toBe(0);
    const deaf = call([(await serve()).url]);
    await deaf.shows('0:00');
    deaf.keyboard.press('sHello\r');
    await deaf.shows('it cannot be made to say that');
    deaf.keyboard.press('q');
    await deaf.ended;
  });

  it('interrupts: what was not heard yet never is', async () => {
    const server = await serve(scriptedEngine({ text: { 2: ' Well', 3: ' then', 5: ' go' } }));
    const talk = call([server.url]);
    await talk.shows('~then~');
    talk.keyboard.press(' ');
    await talk.shows('*go*');
    expect(talk.terminal.shown).not.toContain('then');
    talk.keyboard.press('q');
    await talk.ended;
  });

  it('goes on without a microphone that was pulled out, and with the one that comes', async () => {
    const server = await serve();
    const talk = call([server.url], fakeAudio({ microphone: speechLike(60, 2) }));
    await talk.until(() => talk.audio.heard.some((sample) => Math.abs(sample) > 0.1));
    talk.audio.unplug();
    await talk.shows('no microphone');
    expect(talk.terminal.shown).toContain('Fake microphone went away');
    talk.audio.plug({ id: 'headset', kind: 'input', label: 'A headset' });
    await talk.shows('microphone: A headset');
    await talk.until(() => !talk.terminal.shown.includes('no microphone'));
    talk.keyboard.press('q');
    await talk.ended;
  });

  it('goes on without a loudspeaker that was pulled out, and tries it again', async () => {
    const server = await serve(scriptedEngine({ text: { 40: ' Still', 41: ' here.' } }));
    const talk = call([server.url]);
    await talk.shows('0:00');
    talk.audio.unplug('loudspeaker');
    await talk.shows('there is no loudspeaker: trying again');
    expect(talk.terminal.shown).toContain('went away');
    await talk.shows('*here.*');
    talk.audio.plug({ id: 'headset', kind: 'output', label: 'A headset' });
    await talk.shows('loudspeaker: A headset');
    await talk.until(() => !talk.terminal.shown.includes('trying again'));
    talk.keyboard.press('q');
    expect((await talk.ended).status).toBe(0);
  });

  it('tries no loudspeaker again after its end', () => {
    const [microphone, speaker] = [new EventEmitter(), new EventEmitter()];
    const view = { note: () => {} } as unknown as ChatView;
    const watch = new SoundWatch({ microphone, speaker } as unknown as Session, view, {});
    speaker.emit('error', new Error('it went away'));
    speaker.emit('state', { status: 'off' });
    expect(watch.trouble).toContain('trying again');
    speaker.emit('state', { status: 'starting' });
    watch.end();
    speaker.emit('state', { status: 'off' });
    expect(watch.trouble).toBeUndefined();
  });

  it('ends when its terminal hangs up', async () => {
    const server = await serve();
    const before = process.listenerCount('SIGHUP');
    const talk = call([server.url]);
    await talk.shows('0:00');
    process.emit('SIGHUP', 'SIGHUP');
    expect((await talk.ended).status).toBe(0);
    expect(talk.terminal.raw.endsWith('\x1b[?25h')).toBe(true);
    expect(process.listenerCount('SIGHUP')).toBe(before);
  });

  it('with --half-duplex does not let the model hear itself', async () => {
    const server = await serve();
    const talk = call([server.url, '--half-duplex'], fakeAudio({ microphone: speechLike(60, 2) }));
    await talk.shows('muted while the model speaks');
    talk.keyboard.press('q');
    expect((await talk.ended).status).toBe(0);
  });

  it('shows the place in line, and Ctrl+C ends waiting', async () => {
    const server = await serve(loopbackEngine({ slots: 1 }));
    const first = call([server.url]);
    await first.shows('0:00');
    const second = call([server.url]);
    await second.shows('in line, place 1');
    second.keyboard.press('sHello\r');
    await second.shows('not yet');
    second.keyboard.press('\x03');
    expect((await second.ended).status).toBe(130);
    expect(second.stderr()).toBe('moshi: interrupted\n');
    first.keyboard.press('q');
    await first.ended;
  });

  it('tries to come back, and ends with 1 when it may not, telling why on one line', async () => {
    const server = await serve();
    const talk = call([server.url]);
    await talk.shows('0:00');
    const { port } = new URL(server.url);
    await server.close({ graceMs: 0 });
    await talk.shows('*  the connection is lost: trying again*');
    await serve(loopbackEngine(), { port: Number(port), keys: ['another'] });
    expect((await talk.ended).status).toBe(1);
    expect(talk.stderr()).toMatch(/^moshi: .*401.*\n$/);
    expect(talk.terminal.raw.endsWith('\x1b[?25h')).toBe(true);
  });

  it('says that the model remembers nothing when it had to begin anew', async () => {
    const server = await serve();
    const talk = call([server.url]);
    await talk.shows('0:00');
    const { port } = new URL(server.url);
    await server.close({ graceMs: 0 });
    await serve(loopbackEngine(), { port: Number(port) });
    await talk.shows('the connection is back, but the model remembers nothing');
    talk.keyboard.press('q');
    expect((await talk.ended).status).toBe(0);
  });

  it('says no microphone as one line', async () => {
    const audio = fakeAudio();
    audio.deny();
    const server = await serve();
    const talk = call([server.url], audio);
    expect((await talk.ended).status).toBe(1);
    expect(talk.stderr()).toBe('moshi: the microphone was refused: allow it, as fakeAudio().allow() does\n');
    const typing = call([server.url, '--no-microphone'], audio);
    await typing.shows('silent');
    typing.keyboard.press('q');
    expect((await typing.ended).status).toBe(0);
  });
});

describe('moshi chat elsewhere', () => {
  it('takes files for devices, writes sentences as lines, and ends by itself', async () => {
    const tones = [400, 800, 1600];
    const [input, output] = [join(folder, 'in.wav'), join(folder, 'out.wav')];
    await writeFile(input, writeWav(melody(tones, 0.6), { sampleRate: 24_000 }));
    const server = await serve(scriptedEngine({ text: { 3: ' Good', 4: ' day.', 9: ' And' } }));
    const outcome = await moshi(['chat', server.url, '--in', input, '--out', output, '--tail', '2']);
    expect(outcome).toEqual({ status: 0, stdout: 'Good day.\nAnd\n', stderr: UNTRAINED });
    const { pcm, sampleRate } = readWav(await readFile(output));
    expect(sampleRate).toBe(24_000);
    // However busy the machine is, nothing of it is lost: it only comes later.
    for (const hz of tones) expect(Math.abs(toneSeconds(pcm, hz) - 0.6)).toBeLessThan(0.1);
    // Pauses are kept, too: the way there and back, and the time after it.
    expect(pcm.length).toBeGreaterThan(2.2 * 24_000);
  });

  it('talks through the programs of the system', async () => {
    // However busy the machine is, nothing of it is lost: it only comes later.
    const tones = [400, 800, 1600];
    const tools = await fakeTools({
      parec: { records: floatBytes(melody(tones, 0.6)) },
      pacat: {},
      pactl: '1\tusb\tm\n2\tbuiltin\tm\n',
    });
    vi.stubEnv('PATH', tools.env.PATH);
    const server = await serve();
    const stop = new AbortController();
    const running = moshi(['chat', server.url, '--input', 'usb', '--output', 'built'], { signal: stop.signal });
    await vi.waitUntil(async () => (await tools.played('pacat')).length > 2.5 * 96_000, { timeout: 20_000 });
    stop.abort();
    expect(await running).toEqual({
      status: 0,
      stdout: '',
      stderr: expect.stringMatching(/^moshi: use headphones.*\n$/),
    });
    const heard = bytesToFloats(await tools.played('pacat'));
    const seconds = tones.map((hz) => toneSeconds(heard, hz));
    for (const each of seconds) expect(Math.abs(each - 0.6)).toBeLessThan(0.1);
    expect((await tools.started('parec'))[0]).toContain('--device=usb');
    expect((await tools.started('pacat'))[0]).toContain('--device=builtin');
    const list = await moshi(['chat', '--list-devices']);
    expect(list.stdout).toBe(
      'microphones:\n    pulse:usb\n    pulse:builtin\nloudspeakers:\n    pulse:usb\n    pulse:builtin\n',
    );
    const { platform } = await openSound({ tail: 0, microphone: true });
    expect((await findDevice(platform, 'input', 'alsa:hw:1,0')).id).toBe('alsa:hw:1,0');
    await expect(findDevice(platform, 'input', 'oss:1')).rejects.toThrow("there is no microphone 'oss:1'");
    const unclear = await moshi(['chat', server.url, '--input', 'u']);
    expect(unclear).toMatchObject({ status: 2, stderr: expect.stringContaining('is 2 devices') });
    await tools.remove();
  });

  it('goes on in silence when its microphone program dies', async () => {
    const tools = await fakeTools({
      parec: { records: floatBytes(speechLike(60)), fails: 'Stream error: No such entity', afterMs: 300 },
      pacat: {},
    });
    vi.stubEnv('PATH', tools.env.PATH);
    const server = await serve();
    const stop = new AbortController();
    let stderr = '';
    const running = moshi(['chat', server.url], {
      signal: stop.signal,
      stderr: { write: (text: string) => (stderr += text) },
    });
    await vi.waitUntil(() => stderr.includes('the microphone is gone (parec: Stream error: No such entity)'), {
      timeout: 20_000,
    });
    // Silence is heard: the model goes on answering.
    const before = (await tools.played('pacat')).length;
    await vi.waitUntil(async () => (await tools.played('pacat')).length > before + 48_000, { timeout: 20_000 });
    stop.abort();
    expect((await running).status).toBe(0);
    await tools.remove();
  });

  it('writes lines for a terminal that cannot draw', async () => {
    vi.stubEnv('TERM', 'dumb');
    const server = await serve(scriptedEngine({ text: { 3: ' Good', 4: ' day.' } }));
    const stop = new AbortController();
    const talk = call([server.url], fakeAudio(), { signal: stop.signal });
    await talk.until(() => talk.terminal.raw !== '');
    stop.abort();
    expect((await talk.ended).status).toBe(0);
    expect(talk.terminal.raw).toBe('Good day.\n');
    expect(talk.keyboard.raw).toBe(false);
  });

  it('names what to install where there is nothing to hear or play with', async () => {
    vi.stubEnv('PATH', folder);
    const none = await moshi(['chat', 'ws://127.0.0.1:9']);
    expect(none.status).toBe(1);
    expect(none.stderr).toMatch(
      /^moshi: there is no program here for the microphone \(.*\): .+, or give --in FILE or --no-microphone\n$/,
    );
    const typed = await moshi(['chat', 'ws://127.0.0.1:9', '--no-microphone']);
    expect(typed.stderr).toMatch(/for the loudspeaker .*--out FILE\n$/);
  });

  it('accepts a certificate of its own with --insecure, and ends with 4 without', async () => {
    const pem = (name: string) => readFileSync(new URL(`../../client/test/fixtures/tls/${name}.pem`, import.meta.url));
    const server = await serve(loopbackEngine(), { tls: { key: pem('key'), cert: pem('cert') } });
    const args = [server.url, '--in', join(folder, 'in.wav'), '--out', join(folder, 'out.wav'), '--tail', '0'];
    await writeFile(join(folder, 'in.wav'), writeWav(speechLike(0.3)));
    const refused: Outcome = await moshi(['chat', ...args]);
    expect(refused).toMatchObject({ status: 4, stderr: expect.stringMatching(/^moshi: .*certificate.*\n$/) });
    expect((await moshi(['chat', ...args, '--insecure'])).status).toBe(0);
  });

  it('refuses what contradicts itself', async () => {
    const wrong = async (...args: string[]) => (await moshi(['chat', ...args], { sound: fakeAudio() })).status;
    await writeFile(join(folder, 'in.wav'), 'no sound');
    expect(await wrong('--in', 'x.wav', '--input', 'usb')).toBe(2);
    expect(await wrong('--in', 'x.wav', '--no-microphone')).toBe(2);
    expect(await wrong('--out', 'x.wav', '--output', 'usb')).toBe(2);
    expect(await wrong('--in', join(folder, 'in.wav'))).toBe(3);
    expect(await wrong('--out', join(folder, 'no', 'out.wav'))).toBe(2);
    expect(await wrong('--input', 'nobody')).toBe(2);
    expect(await wrong('ftp://x')).toBe(2);
    expect(await wrong('--dialect', 'moshi-server', '--seed', '1')).toBe(2);
    expect(await wrong('ws://127.0.0.1:9')).toBe(4);
  });
});

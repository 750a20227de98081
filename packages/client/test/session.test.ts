import { OggOpusDecoder, OpusPacketEncoder } from '@moshi/opus';
import { encodeMessage, isOpusHead, OggPacketReader } from '@moshi/protocol';
import { concat } from '@moshi/protocol/audio';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect, type Session } from '../src/index';
import { fakeSession } from './support/fake-session';
import { FakeTransport } from './support/fake-transport';
import { closeServers, scriptedServer } from './support/server';
import { envelopeCorrelation, lcg, speech } from './support/signal';
import { opusPages } from './support/wire';

const freeDecoder = vi.spyOn(OggOpusDecoder.prototype, 'free');
const freeEncoder = vi.spyOn(OpusPacketEncoder.prototype, 'free');

beforeEach(() => {
  vi.clearAllMocks();
});
afterEach(async () => {
  vi.useRealTimers();
  await closeServers();
});

const closed = (session: Session) => new Promise((resolve) => session.once('closed', resolve));

describe('sendAudio', () => {
  it('makes one Ogg Opus stream of it: headers first, then pages of two 20 ms packets', async () => {
    const { transport, session } = await fakeSession();
    const pcm = speech(2);
    for (let at = 0; at < pcm.length; at += 700) session.sendAudio(pcm.subarray(at, at + 700));
    await session.finish();
    const pages = transport.sent.map((message) =>
      message.type === 'audio' ? message.data : expect.fail(message.type),
    );
    const reader = new OggPacketReader();
    const packets = pages.map((page) => reader.push(page).map((packet) => packet.data));
    expect(packets[0]?.map((packet) => isOpusHead(packet))).toEqual([true, false]);
    expect(packets.slice(1).every((page) => page.length === 2)).toBe(true);
    expect(packets).toHaveLength(1 + 50);
    const decoder = await OggOpusDecoder.create();
    const decoded = concat(pages.map((page) => decoder.decode(page)));
    decoder.free();
    expect(decoded.length).toBe(48_000);
    expect(envelopeCorrelation(pcm, decoded)).toBeGreaterThan(0.9);
    expect(session.metrics).toMatchObject({ audioSentSeconds: 2, messagesSent: 51, bufferedMs: 0 });
    transport.hangUp();
  });

  it('drops the oldest while the server stalls, says so, and goes on with a whole stream', async () => {
    const { transport, session, log } = await fakeSession({ maxBufferedMs: 400 });
    session.sendAudio(new Float32Array(4800));
    transport.bufferedAmount = 10_000_000;
    for (let i = 0; i < 10; i++) session.sendAudio(speech(0.08, i));
    expect(log.at(-1)).toEqual(['dropped', { ms: 80, totalMs: 400 }]);
    expect(session.metrics).toMatchObject({ bufferedMs: 400, droppedSeconds: 0.4, audioSentSeconds: 0.2 });
    transport.bufferedAmount = 0;
    await session.finish();
    expect(session.metrics).toMatchObject({ bufferedMs: 0, droppedSeconds: 0.4 });
    const reader = new OggPacketReader();
    let packets = 0;
    for (const message of transport.sent) if (message.type === 'audio') packets += reader.push(message.data).length;
    // 0.2 s and 0.4 s of audio make 30 packets of 20 ms, silence completes the frame; and two headers.
    expect(packets).toBe(2 + 32);
    expect(reader.stats).toMatchObject({ badCrc: 0, skippedBytes: 0, brokenPackets: 0 });
    transport.hangUp();
  });

  it('survives a server that stops reading for a while', async () => {
    const server = await scriptedServer((peer) => peer.send(Uint8Array.of(0)));
    // A high rate fills the buffers of the operating system, which hide a stall, in reasonable time.
    const session = await connect(server.url, { opus: { bitrate: 510_000 }, maxBufferedMs: 500 });
    server.peers[0]?.socket.pause();
    const random = lcg(3);
    const noise = Float32Array.from({ length: 24_000 }, () => random() - 0.5);
    let dropped = 0;
    session.on('dropped', (event) => {
      dropped += event.ms;
    });
    let seconds = 0;
    while (dropped < 1000 && seconds < 600) {
      session.sendAudio(noise);
      seconds++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { audioSentSeconds, bufferedMs, droppedSeconds } = session.metrics;
    expect(droppedSeconds).toBeGreaterThanOrEqual(1);
    // The limit holds in whole pages.
    expect(bufferedMs).toBeCloseTo(480);
    expect(audioSentSeconds + bufferedMs / 1000 + droppedSeconds).toBeCloseTo(seconds);
    server.peers[0]?.socket.resume();
    await session.finish();
    expect(session.metrics.bufferedMs).toBe(0);
    await session.close();
    expect(server.violations).toEqual([]);
  });

  it('takes samples and nothing else, and copies them', async () => {
    const { transport, session } = await fakeSession();
    for (const wrong of [new Int16Array(10), [0.5], 'x', undefined]) {
      expect(() => session.sendAudio(wrong as never)).toThrow(expect.objectContaining({ code: 'bad-option' }));
    }
    expect(() => session.sendSilence(-1)).toThrow(expect.objectContaining({ code: 'bad-option' }));
    const pcm = speech(0.03);
    session.sendAudio(pcm);
    pcm.fill(Number.NaN);
    session.sendSilence(10);
    expect(session.metrics.audioSentSeconds).toBeCloseTo(0.04);
    transport.hangUp();
  });

  it('after the end is counted as dropped, and harms nobody', async () => {
    const { transport, session, log } = await fakeSession();
    transport.hangUp();
    const sent = transport.sent.length;
    session.sendAudio(new Float32Array(2400));
    await session.finish();
    expect(transport.sent.length).toBe(sent);
    expect(log.at(-1)).toEqual(['dropped', { ms: 100, totalMs: 100 }]);
  });
});

describe('what the server sends', () => {
  it('comes as audio the moment a page is complete, on a clock', async () => {
    const { transport, log } = await fakeSession();
    const [header, first, second] = (await opusPages(1)) as [Uint8Array, Uint8Array, Uint8Array];
    transport.receive({ type: 'audio', data: header });
    transport.receive({ type: 'audio', data: first.subarray(0, first.length - 1) });
    expect(log.filter(([name]) => name === 'audio')).toEqual([]);
    transport.receive({ type: 'audio', data: first.subarray(first.length - 1) });
    expect(log.at(-1)).toEqual(['audio', { time: 0, pcm: expect.any(Float32Array) }]);
    transport.receive({ type: 'text', text: ' hi' });
    expect(log.at(-1)).toEqual(['text', { text: ' hi', time: 0.04 }]);
    transport.receive({ type: 'audio', data: second });
    expect(log.at(-1)).toEqual(['audio', { time: 0.04, pcm: expect.any(Float32Array) }]);
    transport.hangUp();
  });

  it('comes as clean text: byte pieces joined, empty pieces dropped, the rest at the end', async () => {
    const { transport, session, log } = await fakeSession();
    for (const text of ['', ' caf', '<0xC3>', '', '<0xA9>', ' <s>', '<0xE2>'])
      transport.receive({ type: 'text', text });
    transport.receive({ type: 'coloredText', color: 3, text: '!' });
    transport.receive({ type: 'text', text: '<0xE2>' });
    transport.hangUp();
    const texts = log.filter(([name]) => name === 'text').map(([, event]) => event);
    expect(texts).toEqual([
      { text: ' caf', time: 0 },
      { text: 'é', time: 0 },
      { text: ' <s>', time: 0 },
      { text: '\uFFFD!', time: 0, color: 3 },
      { text: '\uFFFD', time: 0 },
    ]);
    expect(session.metrics.textMessages).toBe(9);
  });

  it('shows up raw first, whatever it is; what nobody knows is no error', async () => {
    const { transport, log } = await fakeSession();
    transport.receive({ type: 'unknown', id: 77, data: Uint8Array.of(1) });
    transport.receive({ type: 'ping' });
    transport.receive({ type: 'metadata', data: { a: 1 } });
    expect(log.map(([name, event]) => [name, (event as { type?: string }).type])).toEqual([
      ['message', 'unknown'],
      ['message', 'ping'],
      ['message', 'metadata'],
      ['metadata', undefined],
    ]);
    transport.hangUp();
  });

  it('can be broken without ending the session', async () => {
    const { transport, session, log } = await fakeSession();
    for (const bad of [new Uint8Array(0), Uint8Array.of(4, 123), 'text frame']) transport.receiveRaw(bad);
    expect(log.map(([name, event]) => [name, (event as { code?: string }).code])).toEqual([
      ['error', 'malformed'],
      ['error', 'malformed'],
      ['error', 'malformed'],
    ]);
    expect(session.state.status).toBe('ready');
    transport.receive({ type: 'text', text: 'still here' });
    expect(log.at(-1)).toEqual(['text', { text: 'still here', time: 0 }]);
    transport.hangUp();
  });

  it('is counted when it is lost', async () => {
    const { transport, session } = await fakeSession();
    const pages = await opusPages(4);
    for (const broken of [3, 6]) pages[broken]![30]! ^= 0xff;
    for (const data of pages.slice(0, 5)) transport.receive({ type: 'audio', data });
    const lost = session.metrics.lostPackets;
    expect(lost).toBeGreaterThan(0);
    for (const data of pages.slice(5)) transport.receive({ type: 'audio', data });
    transport.hangUp();
    // What is lost after the last look is known after the end too.
    expect(session.metrics.lostPackets).toBeGreaterThan(lost);
  });

  it('does not get lost or out of order when a listener throws', async () => {
    const transport = new FakeTransport();
    const heard: string[] = [];
    const text = ({ text }: { text: string }) => {
      heard.push(text);
      if (text === 'one') throw new Error('a listener’s own fault');
    };
    const uncaught = vi.fn();
    process.prependOnceListener('uncaughtException', uncaught);
    const others = process.listeners('uncaughtException').filter((listener) => listener !== uncaught);
    for (const other of others) process.off('uncaughtException', other);
    const connecting = connect('fake', { transport, on: { text } });
    transport.shakeHands();
    for (const word of ['one', 'two', 'three']) transport.receive({ type: 'text', text: word });
    await connecting;
    await vi.waitFor(() => expect(heard).toEqual(['one', 'two', 'three']), 20_000);
    for (const other of others) process.on('uncaughtException', other);
    expect(uncaught).toHaveBeenCalledOnce();
    transport.hangUp();
  });
});

describe('metrics', () => {
  it('come every second while the session lasts', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { transport, session } = await fakeSession();
    const seen: unknown[] = [];
    session.on('metrics', (metrics) => seen.push(metrics.audioSentSeconds));
    session.sendSilence(80);
    vi.advanceTimersByTime(2000);
    expect(seen).toEqual([0.08, 0.08]);
    transport.hangUp();
    vi.advanceTimersByTime(5000);
    expect(seen).toHaveLength(2);
    expect(session.metrics.audioSentSeconds).toBe(0.08);
  });

  it('show the round trip and the first answer', async () => {
    const { transport, session } = await fakeSession();
    const [header, ...pages] = await opusPages(1);
    session.sendAudio(speech(0.24));
    transport.receive({ type: 'audio', data: header! });
    expect(session.metrics).toMatchObject({ roundTripMs: null, timeToFirstAudioMs: null });
    for (const data of pages) transport.receive({ type: 'audio', data });
    expect(session.metrics.roundTripMs).toBeCloseTo(0.85 * 200 + 0.15 * 160);
    expect(session.metrics.timeToFirstAudioMs).toBeGreaterThanOrEqual(0);
    expect(session.metrics).toMatchObject({ audioReceivedSeconds: 0.08, audioMessages: 3, messagesReceived: 4 });
    transport.hangUp();
  });
});

describe('close', () => {
  it('says goodbye with code and reason and resolves when the server agreed', async () => {
    const server = await scriptedServer((peer) => peer.send(Uint8Array.of(0)));
    const session = await connect(server.url);
    const end = closed(session);
    const heard = new Promise((resolve) => {
      server.peers[0]?.socket.once('close', (code, reason) => resolve([code, String(reason)]));
    });
    await session.close(4001, 'lunch');
    expect(await heard).toEqual([4001, 'lunch']);
    expect(session.state).toEqual({ status: 'closed', code: 4001, reason: 'lunch' });
    expect(await end).toEqual({ code: 4001, reason: 'lunch', clean: true });
    expect(freeDecoder).toHaveBeenCalledTimes(1);
    expect(freeEncoder).toHaveBeenCalledTimes(1);
  });

  it('may be called in any state and any number of times', async () => {
    const { transport, session, names } = await fakeSession();
    const first = session.close();
    const second = session.close(4000, 'again');
    expect(session.state.status).toBe('closing');
    expect(transport.ended).toEqual(['close 1000']);
    transport.hangUp();
    await Promise.all([first, second]);
    await session.close();
    expect(transport.ended).toEqual(['close 1000']);
    expect(names()).toEqual(['state', 'state', 'closed']);
    expect(freeDecoder).toHaveBeenCalledTimes(1);
  });

  it('does not wait for ever for a server that does not answer', async () => {
    const { transport, session, log } = await fakeSession();
    vi.useFakeTimers();
    const done = session.close();
    await vi.advanceTimersByTimeAsync(10_000);
    await done;
    expect(transport.ended).toEqual(['close 1000', 'terminate']);
    expect(log.at(-1)).toEqual(['closed', { code: 1006, reason: '', clean: false }]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    [1001, ''],
    [2999, ''],
    [5000, ''],
    [1000.5, ''],
    [1000, 'é'.repeat(62)],
  ])('refuses code %d with a reason of %j', async (code, reason) => {
    const { transport, session } = await fakeSession();
    await expect(session.close(code, reason)).rejects.toMatchObject({ code: 'bad-option' });
    expect(session.state.status).toBe('ready');
    transport.hangUp();
  });

  it('comes with the end of an await using block and with the signal', async () => {
    const disposed = await fakeSession();
    const done = disposed.session[Symbol.asyncDispose]();
    disposed.transport.hangUp();
    await done;
    expect(disposed.session.state.status).toBe('closed');
    const controller = new AbortController();
    const aborted = await fakeSession({ signal: controller.signal });
    controller.abort();
    expect(aborted.transport.ended).toEqual(['close 1000']);
    aborted.transport.hangUp();
    expect(aborted.session.state).toEqual({ status: 'closed', code: 1000, reason: '' });
  });
});

describe('the end of the connection', () => {
  it('is told in this order: error, state, closed', async () => {
    const { transport, session, log, names } = await fakeSession();
    transport.receive({ type: 'text', text: 'bye' });
    transport.hangUp({ code: 1006, clean: false });
    expect(names()).toEqual(['message', 'text', 'error', 'state', 'closed']);
    const error = log[2]?.[1];
    expect(error).toMatchObject({ code: 'closed', retryable: true, message: expect.stringContaining('1006') });
    expect(session.state).toEqual({ status: 'closed', code: 1006, reason: '', error });
    expect(log[4]?.[1]).toEqual({ code: 1006, reason: '', clean: false, error });
    expect(freeDecoder).toHaveBeenCalledTimes(1);
  });

  it.each([1000, 1005])('is no error when the server says goodbye (%d)', async (code) => {
    const { transport, session, names } = await fakeSession();
    transport.hangUp({ code });
    expect(names()).toEqual(['state', 'closed']);
    expect(session.state).toEqual({ status: 'closed', code, reason: '' });
  });

  it('carries the server’s Error message as its cause', async () => {
    const server = await scriptedServer(async (peer) => {
      peer.send(Uint8Array.of(0));
      await peer.next();
      peer.send(encodeMessage({ type: 'error', message: 'The engine failed: out of memory' }));
      peer.socket.close(1011, 'engine error');
    });
    const session = await connect(server.url, { reconnect: false });
    const errors: unknown[] = [];
    session.on('error', (error) => errors.push(error));
    const end = closed(session);
    session.sendSilence(80);
    expect(await end).toMatchObject({ code: 1011, reason: 'engine error', clean: true, error: { code: 'closed' } });
    expect(errors).toMatchObject([
      { code: 'server', message: 'The engine failed: out of memory' },
      { code: 'closed', cause: { code: 'server' } },
    ]);
  });

  it('has nothing to do with an error the conversation got over', async () => {
    const { transport, session } = await fakeSession();
    transport.receive({ type: 'error', message: 'a hiccup' });
    for (const data of await opusPages(1)) transport.receive({ type: 'audio', data });
    transport.hangUp();
    expect(session.state).toEqual({ status: 'closed', code: 1000, reason: '' });
  });

  it('leaves nothing open when a listener throws', async () => {
    const { transport, session } = await fakeSession();
    session.on('state', () => {
      throw new Error('a listener’s own fault');
    });
    await expect(session.close()).rejects.toThrow('own fault');
    expect(transport.ended).toEqual(['close 1000']);
    expect(() => transport.hangUp()).toThrow('own fault');
    expect(session.state.status).toBe('closed');
    await session.close();
    expect(freeDecoder).toHaveBeenCalledTimes(1);
    expect(freeEncoder).toHaveBeenCalledTimes(1);
  });

  it('is brought about when the server falls silent', async () => {
    const { transport, session, log } = await fakeSession({ idleTimeoutMs: 30 });
    session.sendSilence(80);
    session.sendSilence(400);
    await vi.waitFor(() => expect(transport.ended).toEqual(['close 4000 server silent']), 20_000);
    transport.hangUp({ code: 4000 });
    expect(log.map(([name]) => name)).toEqual(['state', 'error', 'state', 'closed']);
    expect(session.state).toMatchObject({ status: 'closed', error: { code: 'silent', retryable: true } });
  });
});

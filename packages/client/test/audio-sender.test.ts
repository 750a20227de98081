import { isOpusHead, type Message, OggPacketReader } from '@moshi/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AudioSender } from '../src/audio-sender';
import type { CodecFactory } from '../src/codec/types';
import { UserStream } from '../src/user-stream';

/** A sender whose packets are the first sample of what they hold, two a page, on a connection that is the test's. */
async function fakeSender(maxBufferedMs = 200, packetsPerPage = 2, tailMs = 0, codecs = firstSamples) {
  const pageSamples = packetsPerPage * 480;
  const dropped: number[] = [];
  let sentSamples = 0;
  const sender = new AudioSender({
    pageSamples,
    encodes: true,
    maxBufferedMs,
    tailMs,
    onPage: (samples) => {
      sentSamples += samples;
    },
    onMessage: () => {},
    onDropped: (ms) => dropped.push(ms),
    onFailed: () => expect.fail('the encoder did not fail'),
  });
  const connection = () => fakeWire(packetsPerPage, codecs);
  const { wire, stream, pages } = await connection();
  sender.begin(wire, stream);
  return { sender, transport: wire, connection, dropped, pages, sentSamples: () => sentSamples };
}

async function fakeWire(packetsPerPage: number, codecs: CodecFactory) {
  const sent: Message[] = [];
  const wire = { bufferedAmount: 0, sent, send: (message: Message) => sent.push(message) };
  const stream = await UserStream.open(codecs, { frameMs: 20, packetsPerPage });
  return { wire, stream, pages: () => sent.map((message) => message.type === 'audio' && firstSample(message.data)) };
}

/** Its packets are silence of 20 ms to whoever decodes them: the configuration, and the first sample as padding. */
const firstSamples: CodecFactory = {
  createDecoder: () => expect.fail('nothing is decoded here'),
  createEncoder: async (_options, sink) => ({
    preSkip: 312,
    pending: 0,
    push: (frame) => {
      expect(frame.length).toBe(480);
      sink.packet(Uint8Array.of(0x08, frame[0]!));
    },
    free: () => {},
  }),
};

/** A sender whose encoder gives its packets when the test says so. */
async function slowSender(maxBufferedMs: number) {
  const frames: (() => void)[] = [];
  const slow: CodecFactory = {
    ...firstSamples,
    createEncoder: async (_options, sink) => ({
      preSkip: 312,
      get pending() {
        return frames.length * 480;
      },
      push(frame) {
        const bytes = Uint8Array.of(0x08, frame[0]!);
        frames.push(() => sink.packet(bytes));
      },
      free: () => {},
    }),
  };
  return { ...(await fakeSender(maxBufferedMs, 2, 0, slow)), frames };
}

/** 255 for the headers, else the first sample of the page. */
function firstSample(data: Uint8Array): number {
  const [packet] = new OggPacketReader().push(data);
  return packet && isOpusHead(packet.data) ? 255 : packet!.data[1]!;
}

const page = (value: number) => new Float32Array(960).fill(value);

describe('AudioSender', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('sends the headers once, before the first page, and nothing before that', async () => {
    const { sender, pages } = await fakeSender();
    sender.push(page(1).subarray(0, 959));
    expect(pages()).toEqual([]);
    sender.push(page(1).subarray(0, 1));
    sender.push(page(2));
    expect(pages()).toEqual([255, 1, 2]);
  });

  it('keeps audio while the transport is full and drops the oldest beyond the limit', async () => {
    const { sender, transport, dropped, pages, sentSamples } = await fakeSender(120);
    sender.push(page(1));
    transport.bufferedAmount = 1_000_000;
    for (let value = 2; value <= 7; value++) sender.push(page(value));
    expect(pages()).toEqual([255, 1]);
    expect(dropped).toEqual([40, 40, 40]);
    expect(sender.bufferedMs).toBe(120);
    transport.bufferedAmount = 0;
    vi.advanceTimersByTime(100);
    expect(pages()).toEqual([255, 1, 5, 6, 7]);
    expect(sender.bufferedMs).toBe(0);
    expect(sentSamples()).toBe(4 * 960);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not drop what the transport takes, however much comes at once', async () => {
    const { sender, dropped, pages } = await fakeSender(80);
    sender.push(new Float32Array(960 * 100));
    expect(pages()).toHaveLength(101);
    expect(dropped).toEqual([]);
  });

  it('completes the last frame, not only the last page', async () => {
    const { sender, sentSamples } = await fakeSender();
    sender.push(new Float32Array(1920 + 100));
    await sender.finish();
    expect(sentSamples()).toBe(3840);
    await sender.finish();
    expect(sentSamples()).toBe(3840);
  });

  it('completes frame and page when they do not divide each other', async () => {
    const { sender, sentSamples } = await fakeSender(2000, 3);
    sender.push(new Float32Array(1920));
    await sender.finish();
    expect(sentSamples()).toBe(5760);
  });

  it('finishes only when the transport took everything', async () => {
    const { sender, transport, pages } = await fakeSender();
    transport.bufferedAmount = 1_000_000;
    sender.push(page(1));
    let finished = false;
    const done = sender.finish().then(() => {
      finished = true;
    });
    await vi.advanceTimersByTimeAsync(200);
    expect(finished).toBe(false);
    transport.bufferedAmount = 0;
    await vi.advanceTimersByTimeAsync(200);
    await done;
    expect(pages()).toEqual([255, 1, 0]);
  });

  it('drops and counts what is left at the end, and everything after it', async () => {
    const { sender, transport, dropped } = await fakeSender();
    transport.bufferedAmount = 1_000_000;
    sender.push(page(1));
    const done = sender.finish();
    sender.stop();
    sender.stop();
    await done;
    expect(dropped).toEqual([80]);
    sender.push(page(2));
    expect(dropped).toEqual([80, 40]);
    expect(transport.sent).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('gives back the encoder of a connection that comes when all is over', async () => {
    const { sender, connection } = await fakeSender();
    sender.stop();
    const { wire, stream } = await connection();
    sender.begin(wire, stream);
    expect(stream.ready).toBe(true);
    sender.stop();
    expect(stream.ready).toBe(false);
  });

  it('keeps to its limit also when it is the encoder that stands still', async () => {
    const { sender, dropped, frames, pages } = await slowSender(200);
    for (let value = 1; value <= 50; value++) sender.push(page(value));
    // A second is in the encoder, and the last 200 ms wait.
    expect(frames.length * 20).toBeLessThanOrEqual(1040);
    expect(sender.bufferedMs).toBe(frames.length * 20 + 200);
    expect(dropped.reduce((sum, ms) => sum + ms, 0)).toBe(2000 - sender.bufferedMs);
    const done = sender.finish();
    for (let i = 0; i < 3; i++) {
      for (const give of frames.splice(0)) give();
      vi.advanceTimersByTime(20);
    }
    await done;
    expect(pages().slice(-6)).toEqual([46, 47, 48, 49, 50, 0]);
    expect(sender.bufferedMs).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('AudioSender, over a lost connection', () => {
  it('keeps what comes, and sends once more what the server has not heard, on a stream that begins anew', async () => {
    const { sender, connection, dropped, pages } = await fakeSender(200, 2, 200);
    for (let value = 1; value <= 6; value++) sender.push(page(value));
    expect(pages()).toEqual([255, 1, 2, 3, 4, 5, 6]);
    sender.halt();
    sender.push(page(7));
    expect(sender.bufferedMs).toBe(40);
    const next = await connection();
    expect(sender.resume(next.wire, next.stream, 4 * 960, true)).toEqual({ resentMs: 80, droppedMs: 0 });
    expect(next.pages()).toEqual([255, 5, 6, 7]);
    expect(sender.position).toBe(7 * 960);
    sender.halt();
    const third = await connection();
    expect(sender.resume(third.wire, third.stream, 5 * 960, true)).toEqual({ resentMs: 80, droppedMs: 0 });
    for (let value = 8; value <= 12; value++) sender.push(page(value));
    expect(third.pages()).toEqual([255, 6, 7, 8, 9, 10, 11, 12]);
    sender.halt();
    // The last 200 ms are kept: of twelve pages the server has heard six, and one is gone.
    const fourth = await connection();
    expect(sender.resume(fourth.wire, fourth.stream, 6 * 960, true)).toEqual({ resentMs: 200, droppedMs: 40 });
    expect(fourth.pages()).toEqual([255, 8, 9, 10, 11, 12]);
    expect(dropped).toEqual([40]);
  });

  it('keeps to its limit, and lets the oldest go', async () => {
    const { sender, connection, dropped } = await fakeSender(200, 2, 200);
    for (let value = 1; value <= 4; value++) sender.push(page(value));
    sender.halt();
    for (let value = 5; value <= 10; value++) sender.push(page(value));
    expect(dropped).toEqual([40]);
    const next = await connection();
    expect(sender.resume(next.wire, next.stream, 960, true)).toEqual({ resentMs: 0, droppedMs: 160 });
    expect(next.pages()).toEqual([255, 6, 7, 8, 9, 10]);
  });

  it('does not send again what nobody wants, nor more than the server could have missed', async () => {
    const { sender, connection, dropped } = await fakeSender(200, 2, 200);
    for (let value = 1; value <= 3; value++) sender.push(page(value));
    sender.halt();
    const second = await connection();
    expect(sender.resume(second.wire, second.stream, 960, false)).toEqual({ resentMs: 0, droppedMs: 80 });
    sender.halt();
    const third = await connection();
    expect(sender.resume(third.wire, third.stream, 1_000_000, true)).toEqual({ resentMs: 0, droppedMs: 0 });
    sender.halt();
    sender.push(page(4));
    const fourth = await connection();
    sender.begin(fourth.wire, fourth.stream);
    expect(fourth.pages()).toEqual([]);
    expect(sender.position).toBe(0);
    expect(dropped).toEqual([80, 40]);
  });

  it('drops whole pages, so that what comes then begins where a page would', async () => {
    const { sender, transport, dropped } = await fakeSender(100);
    transport.bufferedAmount = 1_000_000;
    sender.push(new Float32Array(3000));
    expect(dropped).toEqual([40]);
    expect(sender.bufferedMs).toBe(85);
  });

  it('finishes on the next connection', async () => {
    const { sender, connection } = await fakeSender();
    sender.halt();
    sender.push(page(1));
    let finished = false;
    const done = sender.finish().then(() => {
      finished = true;
    });
    const next = await connection();
    expect(finished).toBe(false);
    sender.resume(next.wire, next.stream, 0, true);
    await done;
    expect(next.pages()).toEqual([255, 1, 0]);
  });
});

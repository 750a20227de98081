import { isOpusHead, type Message, OggPacketReader } from '@moshi/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AudioSender } from '../src/audio-sender';
import type { CodecFactory } from '../src/codec/types';
import { UserStream } from '../src/user-stream';

/** A sender whose packets are the first sample of what they hold, two a page, on a connection that is the test's. */
async function fakeSender(maxBufferedMs = 200, packetsPerPage = 2, tailMs = 0) {
  const pageSamples = packetsPerPage * 480;
  const dropped: number[] = [];
  let sentSamples = 0;
  const sender = new AudioSender({
    pageSamples,
    maxBufferedMs,
    tailMs,
    onPage: (samples) => {
      sentSamples += samples;
    },
    onMessage: () => {},
    onDropped: (ms) => dropped.push(ms),
    onFailed: () => expect.fail('the encoder did not fail'),
  });
  const connection = () => fakeWire(packetsPerPage);
  const { wire, stream, pages } = await connection();
  sender.begin(wire, stream);
  return { sender, transport: wire, connection, dropped, pages, sentSamples: () => sentSamples };
}

async function fakeWire(packetsPerPage: number) {
  const sent: Message[] = [];
  const wire = { bufferedAmount: 0, sent, send: (message: Message) => sent.push(message) };
  const stream = await UserStream.open(firstSamples, { frameMs: 20, packetsPerPage });
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
});

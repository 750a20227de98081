import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AudioSender } from '../src/audio-sender';
import { FakeTransport } from './support/fake-transport';

/** An encoder whose page is the first sample of what it encodes. */
function fakeSender(maxBufferedMs = 200, pageSamples = 960) {
  const transport = new FakeTransport();
  const dropped: number[] = [];
  let sentSamples = 0;
  const sender = new AudioSender({
    transport,
    encoder: {
      header: () => Uint8Array.of(255),
      encode: (pcm) => {
        expect(pcm.length).toBe(pageSamples);
        return [Uint8Array.of(pcm[0]!)];
      },
    },
    pageSamples,
    maxBufferedMs,
    onPage: (samples) => {
      sentSamples += samples;
    },
    onMessage: () => {},
    onDropped: (ms) => dropped.push(ms),
  });
  const pages = () => transport.sent.map((message) => (message.type === 'audio' ? message.data[0] : message.type));
  return { sender, transport, dropped, pages, sentSamples: () => sentSamples };
}

const page = (value: number) => new Float32Array(960).fill(value);

describe('AudioSender', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('sends the headers once, before the first page, and nothing before that', () => {
    const { sender, pages } = fakeSender();
    sender.push(page(1).subarray(0, 959));
    expect(pages()).toEqual([]);
    sender.push(page(1).subarray(0, 1));
    sender.push(page(2));
    expect(pages()).toEqual([255, 1, 2]);
  });

  it('keeps audio while the transport is full and drops the oldest beyond the limit', () => {
    const { sender, transport, dropped, pages, sentSamples } = fakeSender(120);
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

  it('does not drop what the transport takes, however much comes at once', () => {
    const { sender, dropped, pages } = fakeSender(80);
    sender.push(new Float32Array(960 * 100));
    expect(pages()).toHaveLength(101);
    expect(dropped).toEqual([]);
  });

  it('completes the last frame, not only the last page', async () => {
    const { sender, sentSamples } = fakeSender();
    sender.push(new Float32Array(1920 + 100));
    await sender.finish();
    expect(sentSamples()).toBe(3840);
    await sender.finish();
    expect(sentSamples()).toBe(3840);
  });

  it('completes frame and page when they do not divide each other', async () => {
    const { sender, sentSamples } = fakeSender(2000, 1440);
    sender.push(new Float32Array(1920));
    await sender.finish();
    expect(sentSamples()).toBe(5760);
  });

  it('finishes only when the transport took everything', async () => {
    const { sender, transport, pages } = fakeSender();
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
    const { sender, transport, dropped } = fakeSender();
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

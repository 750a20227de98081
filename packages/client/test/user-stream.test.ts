import { isOpusHead, OggPacketReader } from '@moshi/protocol';
import { describe, expect, it } from 'vitest';
import type { PacketSink } from '../src/codec/types';
import { connect } from '../src/index';
import { UserStream } from '../src/user-stream';
import { FakeTransport } from './support/fake-transport';

/** Encoders that give their packets when the test says so. */
function lateEncoders() {
  const made: { sink: PacketSink; frames: number[]; freed: boolean; give(count?: number): void }[] = [];
  return {
    made,
    createDecoder: async () => ({ decode: () => new Float32Array(0), lost: 0, free: () => {} }),
    createEncoder: async (_options: unknown, sink: PacketSink) => {
      const frames: number[] = [];
      const one = {
        sink,
        frames,
        freed: false,
        give: (count = frames.length) => {
          for (const value of frames.splice(0, count)) sink.packet(Uint8Array.of(0x08, value));
        },
      };
      made.push(one);
      return {
        preSkip: 100,
        get pending() {
          return frames.length * 480;
        },
        push: (frame: Float32Array) => void frames.push(frame[0]!),
        free: () => {
          one.freed = true;
        },
      };
    },
  };
}

const frame = (value: number) => new Float32Array(480).fill(value);
const page = (a: number, b: number) => Float32Array.of(...frame(a), ...frame(b));
const packets = (pages: Uint8Array[]) => {
  const reader = new OggPacketReader();
  const read = pages.flatMap((data) => reader.push(data));
  expect(reader.stats).toMatchObject({ badCrc: 0, skippedBytes: 0, lostPages: 0 });
  return read.map(({ data }) => (isOpusHead(data) ? `skip ${data[10]}` : data[1]));
};

async function stream() {
  const encoders = lateEncoders();
  const user = await UserStream.open(encoders, { frameMs: 20, packetsPerPage: 2 });
  const pages: Uint8Array[] = [];
  const failures: [message: string, final: boolean][] = [];
  let woken = 0;
  user.begin({
    page: (data) => pages.push(data),
    failed: (error, final) => failures.push([error.message, final]),
    ready: () => woken++,
  });
  return { user, encoders, pages, failures, woken: () => woken };
}

describe('UserStream', () => {
  it('makes pages of packets that come late, and knows what is pending', async () => {
    const { user, encoders, pages } = await stream();
    user.write(page(1, 2));
    user.write(page(3, 4));
    expect(user.pending).toBe(4 * 480);
    expect(pages).toEqual([]);
    encoders.made[0]!.give(3);
    expect(user.pending).toBe(2 * 480);
    encoders.made[0]!.give();
    expect(user.pending).toBe(0);
    expect(packets(pages)).toEqual(['skip 100', expect.anything(), 1, 2, 3, 4]);
  });

  it('puts another encoder in the place of one that breaks down, on the same stream', async () => {
    const { user, encoders, pages, failures, woken } = await stream();
    user.write(page(1, 2));
    encoders.made[0]!.give();
    encoders.made[0]!.sink.failed(new Error('reclaimed'));
    expect(failures).toEqual([['reclaimed', false]]);
    expect(user.ready).toBe(false);
    await expect.poll(woken).toBe(1);
    expect(encoders.made[0]!.freed).toBe(true);
    user.write(page(3, 4));
    encoders.made[0]!.sink.packet(Uint8Array.of(0x08, 99));
    encoders.made[1]!.give();
    expect(packets(pages).slice(2)).toEqual([1, 2, 3, 4]);
    expect(packets(pages)).toHaveLength(6);
  });

  it('forgives an encoder that broke down before it was needed: browsers take idle ones back', async () => {
    const { user, encoders, pages, failures, woken } = await stream();
    encoders.made[0]!.sink.failed(new Error('reclaimed'));
    await expect.poll(woken).toBe(1);
    user.write(page(1, 2));
    encoders.made[1]!.give();
    expect(packets(pages).slice(2)).toEqual([1, 2]);
    // One that works is a reason for hope.
    encoders.made[1]!.sink.failed(new Error('reclaimed'));
    await expect.poll(woken).toBe(2);
    encoders.made[2]!.sink.failed(new Error('reclaimed'));
    await expect.poll(woken).toBe(3);
    expect(failures).toEqual(Array(3).fill(['reclaimed', false]));
  });

  it('gives up when two in a row never worked, or give what is no packet', async () => {
    const { user, encoders, failures, woken } = await stream();
    encoders.made[0]!.sink.failed(new Error('no codec'));
    await expect.poll(woken).toBe(1);
    encoders.made[1]!.sink.failed(new Error('no codec'));
    expect(failures).toEqual([
      ['no codec', false],
      ['no codec', true],
    ]);
    expect(user.ready).toBe(false);
    expect(encoders.made).toHaveLength(2);
    const other = await stream();
    other.user.write(page(1, 2));
    other.encoders.made[0]!.frames.length = 0;
    for (let i = 0; i < 2; i++) other.encoders.made[0]!.sink.packet(new Uint8Array(0));
    expect(other.failures).toMatchObject([[expect.stringContaining('no Opus packet'), expect.any(Boolean)]]);
  });

  it('says nothing once it is freed, also to an encoder that comes up late', async () => {
    const { user, encoders, pages } = await stream();
    user.write(page(1, 2));
    user.free();
    encoders.made[0]!.give();
    expect(encoders.made[0]!.freed).toBe(true);
    expect(pages).toEqual([]);
  });

  it('tells the session, which goes on', async () => {
    const encoders = lateEncoders();
    const transport = new FakeTransport();
    const connecting = connect('fake', { transport, codecs: encoders });
    transport.shakeHands();
    const session = await connecting;
    const errors: unknown[] = [];
    session.on('error', (error) => errors.push(error));
    session.sendAudio(page(1, 2));
    expect(session.metrics.bufferedMs).toBe(40);
    let finished = false;
    const done = session.finish().then(() => {
      finished = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(finished).toBe(false);
    encoders.made[0]!.give();
    await done;
    expect(session.metrics).toMatchObject({ bufferedMs: 0, audioSentSeconds: 0.08 });
    encoders.made[0]!.sink.failed(new Error('reclaimed'));
    expect(errors).toMatchObject([{ code: 'codec', message: expect.stringContaining('reclaimed') }]);
    session.sendAudio(page(3, 4));
    await expect.poll(() => encoders.made[1]?.frames).toEqual([3, 4]);
    transport.hangUp();
  });
});

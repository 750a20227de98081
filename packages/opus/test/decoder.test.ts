import { encodeOpusHead, OggOpusWriter, OggPageReader, OggPageWriter } from '@moshi/protocol';
import { createEncoder } from 'libopus-wasm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { OggOpusDecoder } from '../src/index';
import {
  concat,
  concatPcm,
  correlation,
  delayOf,
  maxDifference,
  oggFile,
  oggFiles,
  Random,
  speech,
  splits,
  wav,
} from './helpers';

// Measured 0.5 (rounding), 1.6 on multipage: another libopus version made the references.
const MAX_DIFFERENCE = 3;

// The codec core writes to the console about bad packets: none may reach it.
beforeEach(() => void vi.spyOn(console, 'error').mockImplementation(() => undefined));
afterEach(() => {
  expect(console.error).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

async function decodeAll(pieces: readonly Uint8Array[]) {
  const decoder = await OggOpusDecoder.create();
  const pcm = concatPcm(pieces.map((piece) => decoder.decode(piece)));
  decoder.free();
  return { pcm, stats: decoder.stats };
}

/** An Ogg stream of ours around any packets. */
function stream(packets: readonly Uint8Array[]): Uint8Array[] {
  const writer = new OggOpusWriter();
  return [writer.header(), ...packets.map((packet) => writer.page([packet]))];
}

/** Where each page of a stream lies in its bytes. */
function pagesIn(bytes: Uint8Array): Uint8Array[] {
  let at = 0;
  return new OggPageReader().push(bytes).map(({ segments, body }) => {
    const start = at;
    at += 27 + segments.length + body.length;
    return bytes.subarray(start, at);
  });
}

describe.each(oggFiles)('OggOpusDecoder on $name', ({ name, bytes, expected }) => {
  it.each(splits(bytes))('%s: as libopus decodes it, pre-skip not removed', async (_, pieces) => {
    const reference = wav(`${name}.libopus24`);
    const { pcm, stats } = await decodeAll(pieces);
    expect(pcm.length).toBe(expected.libopus24_samples);
    expect(pcm.length).toBe(reference.length);
    expect(maxDifference(pcm, reference)).toBeLessThanOrEqual(MAX_DIFFERENCE);
    expect(correlation(pcm, reference)).toBeGreaterThan(0.99999);
    expect(stats).toEqual({ packets: expected.packet_sizes.length, lost: 0, badCrc: 0, skippedBytes: 0 });
  });
});

describe('OggOpusDecoder', () => {
  const { bytes } = oggFile('server');

  it('holds nothing back: every page gives its packet’s samples at once', async () => {
    const decoder = await OggOpusDecoder.create();
    const pages = pagesIn(bytes);
    const lengths = pages.map((page) => decoder.decode(page).length);
    expect(lengths).toEqual(pages.map((_, i) => (i < 2 ? 0 : 960)));
    expect(decoder.decode(new Uint8Array(0))).toEqual(new Float32Array(0));
    decoder.free();
  });

  it('gives samples that stay as they are', async () => {
    const decoder = await OggOpusDecoder.create();
    const pages = pagesIn(bytes);
    for (const page of pages.slice(0, 20)) decoder.decode(page);
    const pcm = decoder.decode(pages[20]!);
    const copy = pcm.slice();
    decoder.decode(pages[21]!);
    expect(pcm).toEqual(copy);
    decoder.free();
  });

  it('keeps two decoders apart', async () => {
    const [a, b] = [await OggOpusDecoder.create(), await OggOpusDecoder.create()];
    const other = pagesIn(oggFile('frame40').bytes);
    const parts = pagesIn(bytes).map((page, i) => {
      b.decode(other[i]!);
      return a.decode(page);
    });
    expect(concatPcm(parts)).toEqual((await decodeAll([bytes])).pcm);
    a.free();
    b.free();
  });

  it('loses one packet to a bad page and goes on', async () => {
    const broken = bytes.slice();
    broken[4000]! ^= 1;
    const { pcm, stats } = await decodeAll([broken]);
    expect(pcm.length).toBe(oggFile('server').expected.libopus24_samples - 960);
    expect(stats).toMatchObject({ packets: 50, badCrc: 1 });
    expect(stats.skippedBytes).toBeGreaterThan(100);
  });

  it('skips packets that are no Opus and counts them', async () => {
    const pages = pagesIn(bytes);
    // Two equal frames of half a byte each; a packet of more than 120 ms; one that is empty.
    const wrong = [Uint8Array.of(9, 1), Uint8Array.of(0x1b, 3, 0, 0, 0), new Uint8Array(0)];
    const page = new OggPageWriter({ serial: 42 }).page(wrong, { granule: 0n });
    const { pcm, stats } = await decodeAll([...pages.slice(0, 10), page, ...pages.slice(10)]);
    expect(pcm.length).toBe(oggFile('server').expected.libopus24_samples);
    // The empty packet stands for nothing, so it is not lost.
    expect(stats).toMatchObject({ packets: 51, lost: 2 });
  });

  it('does not choke on the longest packets', async () => {
    // 120 ms in one packet of 3840 bytes, and one byte more than the codec core has room for.
    const frames = (bytesEach: number) => {
      const packet = new Random(1).bytes(2 + 6 * bytesEach);
      packet[0] = (31 << 3) | 3;
      packet[1] = 6;
      return packet;
    };
    const { pcm, stats } = await decodeAll(stream([frames(639), frames(640)]));
    expect(pcm.length).toBe(2880);
    expect(stats).toMatchObject({ packets: 1, lost: 1 });
  });

  it('bounds what one call may give', async () => {
    const decoder = await OggOpusDecoder.create({ maxSeconds: 1 });
    // Two bytes that stand for 120 ms of silence, 100 times.
    const silence = Array.from({ length: 100 }, () => Uint8Array.of((1 << 3) | 3, 6));
    const writer = new OggOpusWriter();
    const first = decoder.decode(concat(writer.header(), writer.page(silence)));
    expect(first.length).toBe(8 * 2880);
    expect(decoder.stats).toMatchObject({ packets: 8, lost: 92 });
    expect(decoder.decode(writer.page(silence.slice(0, 3))).length).toBe(3 * 2880);
    decoder.free();
  });

  it.each([0, -1, Number.NaN])('refuses maxSeconds %d', async (maxSeconds) => {
    await expect(OggOpusDecoder.create({ maxSeconds })).rejects.toThrow(/maxSeconds/);
  });

  it('survives damaged streams: finite samples, the console silent', async () => {
    const random = new Random(61);
    const decoder = await OggOpusDecoder.create();
    const writer = new OggPageWriter({ serial: 1 });
    let samples = 0;
    for (let round = 0; round < 40; round++) {
      const packets = Array.from({ length: 30 }, () => {
        const packet = random.bytes(1 + random.below(random.below(4) ? 80 : 1500));
        // Mostly one frame, so that most packets are right in form and their content is what is wrong.
        if (random.below(3)) packet[0]! &= 0xfc;
        return packet;
      });
      for (const packet of packets) {
        const pcm = decoder.decode(writer.page([packet], { granule: 0n }));
        samples += pcm.length;
        expect(pcm.every(Number.isFinite)).toBe(true);
      }
    }
    expect(samples).toBeGreaterThan(100_000);
    expect(decoder.stats.packets + decoder.stats.lost).toBe(1200);
    decoder.free();
  });

  it('mixes stereo down', async () => {
    const stereo = await createEncoder({ sampleRate: 24000, channels: 2, frameSize: 480, bitrate: 64000 });
    const left = speech.subarray(12_000, 36_000);
    const packets = Array.from({ length: 50 }, (_, frame) =>
      stereo.encodeFloat(
        Float32Array.from({ length: 960 }, (_, i) => left[frame * 480 + (i >> 1)]! * (i % 2 ? 0.2 : 1)),
      ),
    );
    stereo.free();
    const { pcm } = await decodeAll(stream(packets));
    expect(pcm.length).toBe(24_000);
    const { match } = delayOf(pcm, left, 300);
    expect(match).toBeGreaterThan(0.9);
  });

  it('does not take the packets of several joined streams for mono', async () => {
    const head = {
      version: 1,
      channels: 2,
      preSkip: 0,
      inputSampleRate: 0,
      outputGain: 0,
      mappingFamily: 255,
      mapping: { streams: 2, coupled: 0, table: Uint8Array.of(0, 1) },
    };
    const writer = new OggPageWriter({ serial: 1 });
    const { pcm, stats } = await decodeAll([
      writer.page([encodeOpusHead(head)], { granule: 0n, bos: true }),
      writer.page([Uint8Array.of(8, 1, 2, 3)], { granule: 480n }),
    ]);
    expect(pcm.length).toBe(0);
    expect(stats.lost).toBe(1);
  });

  it('counts a packet lost of which a page is missing', async () => {
    const writer = new OggPageWriter({ serial: 1 });
    const long = writer.page([new Random(3).bytes(70_000)], { granule: 0n });
    const { stats } = await decodeAll([pagesIn(long)[0]!, writer.page([Uint8Array.of(8, 1, 2, 3)], { granule: 480n })]);
    expect(stats).toMatchObject({ packets: 1, lost: 1 });
  });

  it('can be freed twice, and says so when used after', async () => {
    const decoder = await OggOpusDecoder.create();
    decoder.free();
    decoder.free();
    expect(() => decoder.decode(bytes)).toThrow(/freed/);
  });
});

import { describe, expect, it } from 'vitest';
import { isOpusHead, isOpusTags, OggPacketReader, opusPacketSamples } from '../src/index';
import { oggFiles, Random } from './helpers';

const packet = (toc: number, ...rest: number[]): Uint8Array => Uint8Array.of(toc, ...rest);
const toc = (config: number, code: number): number => (config << 3) | code;

describe('opusPacketSamples', () => {
  it.each(oggFiles)('knows every packet of $name', ({ bytes, expected }) => {
    const packets = new OggPacketReader().push(bytes).filter(({ data }) => !isOpusHead(data) && !isOpusTags(data));
    expect(packets.map(({ data }) => opusPacketSamples(data))).toEqual(expected.packet_samples_24k);
    expect(packets.map(({ data }) => opusPacketSamples(data, 48000))).toEqual(
      expected.packet_samples_24k.map((samples) => 2 * samples),
    );
  });

  it('knows the duration of all 32 configurations', () => {
    const silk = [480, 960, 1920, 2880];
    const celt = [120, 240, 480, 960];
    const at48 = [...silk, ...silk, ...silk, 480, 960, 480, 960, ...celt, ...celt, ...celt, ...celt];
    expect(at48.map((_, config) => opusPacketSamples(packet(toc(config, 0)), 48000))).toEqual(at48);
    for (const rate of [8000, 12000, 16000, 24000]) {
      expect(at48.map((_, config) => opusPacketSamples(packet(toc(config, 0)), rate))).toEqual(
        at48.map((samples) => (samples * rate) / 48000),
      );
    }
  });

  it('counts the frames of each packing', () => {
    expect(opusPacketSamples(packet(toc(1, 0), 9))).toBe(480);
    expect(opusPacketSamples(packet(toc(1, 1), 9, 9))).toBe(960);
    expect(opusPacketSamples(packet(toc(1, 2), 1, 9, 9, 9))).toBe(960);
    expect(opusPacketSamples(packet(toc(1, 3), 3, 9, 9, 9))).toBe(1440);
    expect(opusPacketSamples(packet(toc(1, 3), 0x83, 1, 0, 9, 9))).toBe(1440);
    expect(opusPacketSamples(packet(toc(1, 3), 0x42, 3, 9, 9, 0, 0, 0))).toBe(960);
    // A padding length of 255 stands for 254 and goes on: 255 bytes here, and a frame of none.
    const padded = Uint8Array.from([toc(1, 3), 0x41, 255, 1, ...new Uint8Array(255)]);
    expect(opusPacketSamples(padded)).toBe(480);
    expect(opusPacketSamples(padded.subarray(0, -1))).toBe(0);
    // The longest: 48 frames of 2.5 ms.
    expect(opusPacketSamples(packet(toc(16, 3), 48), 48000)).toBe(5760);
  });

  it('takes two-byte sizes', () => {
    const bytes = new Uint8Array(1 + 2 + 300 + 5);
    bytes.set([toc(1, 2), 252, 12]);
    expect(opusPacketSamples(bytes)).toBe(960);
    expect(opusPacketSamples(bytes.subarray(0, 302))).toBe(0);
  });

  it.each<[string, Uint8Array]>([
    ['empty', new Uint8Array(0)],
    ['two equal frames of odd bytes', packet(toc(1, 1), 9)],
    ['two frames without a size', packet(toc(1, 2))],
    ['half a size', packet(toc(1, 2), 252)],
    ['a first frame longer than the packet', packet(toc(1, 2), 4, 9, 9)],
    ['no count', packet(toc(1, 3))],
    ['a count of 0', packet(toc(1, 3), 0)],
    ['more than 120 ms', packet(toc(3, 3), 3, 9, 9, 9)],
    ['49 frames of 2.5 ms', packet(toc(16, 3), 49)],
    ['equal frames that do not divide', packet(toc(1, 3), 2, 9, 9, 9)],
    ['padding without a length', packet(toc(1, 3), 0x41)],
    ['padding longer than the packet', packet(toc(1, 3), 0x41, 9, 0)],
    ['padding without an end', packet(toc(1, 3), 0x41, 255, 255)],
    ['sizes longer than the packet', packet(toc(1, 3), 0x82, 9, 9)],
    ['sizes that stop early', packet(toc(1, 3), 0x83, 0)],
    ['a frame above 1275 bytes', new Uint8Array(1277).fill(toc(1, 0), 0, 1)],
  ])('gives 0 for %s', (_, bytes) => {
    expect(opusPacketSamples(bytes)).toBe(0);
  });

  it('never gives more than 120 ms', () => {
    const random = new Random(5);
    for (let i = 0; i < 50_000; i++) {
      const samples = opusPacketSamples(random.bytes(random.below(60)));
      expect(samples >= 0 && samples <= 2880 && Number.isInteger(samples)).toBe(true);
    }
  });
});

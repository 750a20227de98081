import { describe, expect, it } from 'vitest';
import {
  decodeOpusHead,
  decodeOpusTags,
  encodeOpusHead,
  encodeOpusTags,
  isOpusHead,
  isOpusTags,
  OggPacketReader,
  type OpusHead,
  ProtocolError,
} from '../src/index';
import { concat, oggFile, oggFiles, Random, toHex, utf8 } from './helpers';

const mono: OpusHead = {
  version: 1,
  channels: 1,
  preSkip: 3840,
  inputSampleRate: 24000,
  outputGain: -256,
  mappingFamily: 0,
};
const surround: OpusHead = {
  ...mono,
  channels: 3,
  mappingFamily: 1,
  mapping: { streams: 2, coupled: 1, table: Uint8Array.of(0, 255, 2) },
};

describe('OpusHead', () => {
  it('has every field where RFC 7845 puts it', () => {
    expect(toHex(encodeOpusHead(mono))).toBe(`${toHex(utf8('OpusHead'))}0101000fc05d000000ff00`);
    expect(toHex(encodeOpusHead(surround)).slice(36)).toBe('01020100ff02');
  });

  it.each([mono, surround])('reads back what it writes', (head) => {
    expect(decodeOpusHead(encodeOpusHead(head))).toEqual(head);
  });

  it.each(oggFiles)('reads the headers of $name', ({ bytes, expected }) => {
    const packets = new OggPacketReader().push(bytes);
    const heads = packets.filter(({ data }) => isOpusHead(data)).map(({ data }) => decodeOpusHead(data));
    expect(heads.map((head) => head.preSkip)).toEqual(expected.pre_skip);
    for (const head of heads) expect(head).toMatchObject({ version: 1, channels: 1, outputGain: 0, mappingFamily: 0 });
    const tags = packets.filter(({ data }) => isOpusTags(data)).map(({ data }) => decodeOpusTags(data));
    expect(tags).toHaveLength(heads.length);
    for (const { vendor } of tags) expect(vendor).toMatch(/^(libopus 1\.3\.1.*|KyutaiMoshi)$/);
  });

  it('reads the headers of the Rust servers to the last field', () => {
    const [head, tags] = new OggPacketReader().push(oggFile('server').bytes);
    expect(decodeOpusHead(head!.data).preSkip).toBe(3840);
    expect(encodeOpusHead(decodeOpusHead(head!.data))).toEqual(head!.data);
    expect(decodeOpusTags(tags!.data)).toEqual({ vendor: 'KyutaiMoshi', comments: [] });
    expect(encodeOpusTags({ vendor: 'KyutaiMoshi', comments: [] })).toEqual(tags!.data);
  });

  it('reads from the middle of a buffer and ignores bytes after the header', () => {
    const bytes = concat(utf8('xx'), encodeOpusHead(mono), utf8('later version'));
    expect(decodeOpusHead(bytes.subarray(2))).toEqual(mono);
  });

  it('refuses every header cut short', () => {
    for (const head of [mono, surround]) {
      const bytes = encodeOpusHead(head);
      for (let length = 0; length < bytes.length; length++) {
        expect(() => decodeOpusHead(bytes.subarray(0, length))).toThrow(ProtocolError);
      }
    }
  });

  it.each([
    ['another major version', 8, 16],
    ['no channels', 9, 0],
    ['three channels without a mapping', 9, 3],
  ])('refuses %s', (_, offset, value) => {
    const bytes = encodeOpusHead(mono);
    bytes[offset] = value;
    expect(() => decodeOpusHead(bytes)).toThrow(ProtocolError);
  });

  it.each([
    ['no streams', 19, 0],
    ['more stereo streams than streams', 20, 3],
    ['a channel of a stream that is not there', 21, 3],
  ])('refuses a mapping with %s', (_, offset, value) => {
    const bytes = encodeOpusHead(surround);
    bytes[offset] = value;
    expect(() => decodeOpusHead(bytes)).toThrow(ProtocolError);
  });

  it.each<Partial<OpusHead>>([
    { version: 16 },
    { channels: 0 },
    { channels: 3 },
    { preSkip: -1 },
    { preSkip: 65_536 },
    { preSkip: 1.5 },
    { inputSampleRate: 2 ** 32 },
    { outputGain: 32_768 },
    { mappingFamily: 1 },
    { mapping: surround.mapping! },
    { ...surround, mapping: { ...surround.mapping!, table: Uint8Array.of(0) } },
  ])('does not write %j', (wrong) => {
    expect(() => encodeOpusHead({ ...mono, ...wrong })).toThrow(ProtocolError);
  });
});

describe('OpusTags', () => {
  const tags = { vendor: 'moshi-js é', comments: ['TITLE=A talk', '', 'LONG='.padEnd(3000, 'x')] };

  it('has every field where RFC 7845 puts it', () => {
    const hex = toHex(encodeOpusTags({ vendor: 'ab', comments: ['c=d'] }));
    expect(hex).toBe([toHex(utf8('OpusTags')), '020000006162', '01000000', '03000000633d64'].join(''));
  });

  it('reads back what it writes, padding ignored', () => {
    expect(decodeOpusTags(encodeOpusTags(tags))).toEqual(tags);
    expect(decodeOpusTags(concat(encodeOpusTags(tags), new Uint8Array(100)))).toEqual(tags);
    expect(decodeOpusTags(encodeOpusTags({ vendor: '' }))).toEqual({ vendor: '', comments: [] });
  });

  it('refuses tags cut short, at every length', () => {
    const bytes = encodeOpusTags({ vendor: 'v', comments: ['a=b', 'c'] });
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeOpusTags(bytes.subarray(0, length))).toThrow(ProtocolError);
    }
  });

  it.each([
    ['vendor', 8, /text of 4294967295 bytes, 12 left/],
    ['count', 13, /4294967295 comments in 7 bytes/],
    ['comment', 17, /text of 4294967295 bytes, 3 left/],
  ])('refuses a %s length that points past the end', (_, offset, message) => {
    const bytes = encodeOpusTags({ vendor: 'v', comments: ['a=b'] });
    for (const length of [1000, 0x7fffffff, 0xffffffff]) {
      new DataView(bytes.buffer).setUint32(offset, length, true);
      expect(() => decodeOpusTags(bytes)).toThrow(ProtocolError);
    }
    expect(() => decodeOpusTags(bytes)).toThrow(message);
  });

  it('survives changed bytes: reads, or refuses in its own words', () => {
    const random = new Random(3);
    const originals = [encodeOpusTags(tags), encodeOpusHead(mono), encodeOpusHead(surround)];
    for (let i = 0; i < 5000; i++) {
      const bytes = originals[i % 3]!.slice();
      for (let change = random.below(4); change >= 0; change--) {
        bytes[8 + random.below(Math.min(bytes.length, 40) - 8)] = random.below(256);
      }
      try {
        if (i % 3 === 0) expect(decodeOpusTags(bytes).comments.length).toBeLessThan(bytes.length);
        else expect(decodeOpusHead(bytes).channels).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }
  });
});

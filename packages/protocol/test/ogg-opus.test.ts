import { describe, expect, it } from 'vitest';
import {
  encodeOpusHead,
  encodeOpusTags,
  isOpusHead,
  OggOpusReader,
  OggOpusWriter,
  OggPacketReader,
  OggPageReader,
  OggPageWriter,
  opusPacketSamples,
} from '../src/index';
import { concat, oggFile, oggFiles, packetHash, pagesOf, splits, utf8 } from './helpers';

const head = encodeOpusHead({
  version: 1,
  channels: 1,
  preSkip: 312,
  inputSampleRate: 24000,
  outputGain: 0,
  mappingFamily: 0,
});
const tags = encodeOpusTags({ vendor: 'test' });
/** An Opus packet of one 20 ms frame that carries `text`. */
const opus = (text: string): Uint8Array => concat(Uint8Array.of(1 << 3), utf8(text));
const words = (packets: readonly Uint8Array[]): string[] =>
  packets.map((packet) => new TextDecoder().decode(packet.subarray(1)));
const readAll = (pages: readonly Uint8Array[]): OggOpusReader & { words: string[] } => {
  const reader = new OggOpusReader();
  return Object.assign(reader, { words: words(pages.flatMap((page) => reader.push(page))) });
};

describe.each(oggFiles)('OggOpusReader on $name', ({ bytes, expected }) => {
  it.each(splits(bytes))('%s', (_, pieces) => {
    const reader = new OggOpusReader();
    const packets = pieces.flatMap((piece) => reader.push(piece));
    expect(packets.map((packet) => packet.length)).toEqual(expected.packet_sizes);
    expect(packetHash(packets)).toBe(expected.packet_sha256_16);
    expect(packets.reduce((sum, packet) => sum + opusPacketSamples(packet), 0)).toBe(expected.libopus24_samples);
    expect(reader.head?.preSkip).toBe(expected.pre_skip.at(-1));
    expect(reader.tags?.vendor).toBeTruthy();
    expect(reader.stats).toMatchObject({
      audioPackets: expected.packet_sizes.length,
      pages: expected.pages.length,
      badCrc: 0,
      skippedBytes: 0,
      brokenPackets: 0,
      lostPages: 0,
      emptyPackets: 0,
      otherPackets: 0,
      badHeaders: 0,
    });
  });
});

describe('OggOpusReader', () => {
  it('takes header pages that come in one message with audio', () => {
    const reader = new OggOpusReader();
    expect(words(reader.push(concat(...pagesOf(1, [head, tags, opus('a')]))))).toEqual(['a']);
    expect(reader.tags).toEqual({ vendor: 'test', comments: [] });
  });

  it('reads tags that run over several pages', () => {
    const long = encodeOpusTags({ vendor: 'v', comments: ['X='.padEnd(200_000, 'y')] });
    const reader = new OggOpusReader();
    for (const [, pieces] of splits(concat(...pagesOf(1, [head, long, opus('a')]))).slice(2)) {
      expect(words(pieces.flatMap((piece) => reader.push(piece)))).toEqual(['a']);
    }
    expect(reader.tags?.comments[0]).toHaveLength(200_000);
  });

  it('leaves empty packets out and counts them', () => {
    const { words: got, stats } = readAll(pagesOf(1, [head, tags, opus('a'), new Uint8Array(0), opus('b')]));
    expect(got).toEqual(['a', 'b']);
    expect(stats).toMatchObject({ emptyPackets: 1, audioPackets: 2 });
  });

  it('hands audio without headers out', () => {
    expect(readAll(pagesOf(1, [head, tags, opus('a'), opus('b')]).slice(2)).words).toEqual(['a', 'b']);
  });

  it.each([
    ['with an end', true],
    ['without an end', false],
  ])('follows streams one after the other, %s', (_, eos) => {
    const second = encodeOpusHead({ ...headFields, preSkip: 80 });
    const reader = readAll([
      ...pagesOf(1, [head, tags, opus('a')], { eos }),
      ...pagesOf(2, [second, encodeOpusTags({ vendor: 'other' }), opus('b')], { eos }),
      ...pagesOf(2, [head, tags, opus('c')]),
    ]);
    expect(reader.words).toEqual(['a', 'b', 'c']);
    expect(reader.head?.preSkip).toBe(312);
    expect(reader.tags?.vendor).toBe('test');
    expect(reader.stats.otherPackets).toBe(0);
  });

  it('takes up a stream whose header was lost, once the one before it has ended', () => {
    const [first, second] = [pagesOf(1, [head, tags, opus('a')], { eos: true }), pagesOf(2, [head, tags, opus('b')])];
    expect(readAll([...first, second[2]!]).words).toEqual(['a', 'b']);
  });

  it('follows a stream that begins after another that had only headers', () => {
    expect(readAll([...pagesOf(1, [head, tags]), ...pagesOf(2, [head, tags, opus('b')])]).words).toEqual(['b']);
  });

  it('takes the first of two Opus streams side by side', () => {
    const [a, b] = [pagesOf(1, [head, tags, opus('a1'), opus('a2')]), pagesOf(2, [head, tags, opus('b1'), opus('b2')])];
    const reader = readAll(a.flatMap((page, i) => [page, b[i]!]));
    expect(reader.words).toEqual(['a1', 'a2']);
    expect(reader.stats.otherPackets).toBe(4);
  });

  it.each([
    ['before', 0],
    ['after', 1],
  ])('leaves out a stream of another codec that begins %s it', (_, place) => {
    const other = pagesOf(7, [utf8('\x80theora'), utf8('not audio'), utf8('nor this')]);
    const audio = pagesOf(1, [head, tags, opus('a')]);
    const order = place === 0 ? [other, audio] : [audio, other];
    const reader = readAll([0, 1, 2].flatMap((i) => order.map((pages) => pages[i]!)));
    expect(reader.words).toEqual(['a']);
    expect(reader.stats.otherPackets).toBe(3);
  });

  it('remembers a bounded number of other streams', () => {
    const others = Array.from({ length: 70 }, (_, i) => pagesOf(100 + i, [utf8('other'), opus('x')]));
    const late = (other: number) => readAll([...others.map((pages) => pages[0]!), others[other]![1]!]).words;
    expect(late(69)).toEqual([]);
    expect(late(6)).toEqual([]);
    // The oldest are forgotten, so what comes of them is taken for a stream without a header.
    expect(late(5)).toEqual(['x']);
  });

  it('goes on after broken headers and says so', () => {
    const reader = readAll(pagesOf(1, [utf8('OpusHead'), utf8('OpusTags\xff\xff'), opus('a')]));
    expect(reader.words).toEqual(['a']);
    expect(reader.head).toBeUndefined();
    expect(reader.tags).toBeUndefined();
    expect(reader.stats.badHeaders).toBe(2);
  });

  it('loses one packet to a bad page', () => {
    const { bytes, expected } = oggFile('server');
    const broken = bytes.slice();
    broken[1000]! ^= 0x55;
    const reader = new OggOpusReader();
    const packets = reader.push(broken);
    expect(packets).toHaveLength(expected.packet_sizes.length - 1);
    expect(reader.stats).toMatchObject({ badCrc: 1, lostPages: 1 });
  });
});

const headFields = { version: 1, channels: 1, preSkip: 312, inputSampleRate: 24000, outputGain: 0, mappingFamily: 0 };

describe('OggOpusWriter', () => {
  const packetsOf = (name: string): Uint8Array[] => new OggOpusReader().push(oggFile(name).bytes);

  it('writes the Rust servers’ stream byte for byte', () => {
    const { bytes } = oggFile('server');
    const writer = new OggOpusWriter({ serial: 42, preSkip: 3840, inputSampleRate: 48000, vendor: 'KyutaiMoshi' });
    const source = new OggOpusReader();
    source.push(bytes);
    expect(source.head?.inputSampleRate).toBe(48000);
    expect(concat(writer.header(), ...packetsOf('server').map((packet) => writer.page([packet])))).toEqual(bytes);
  });

  it('counts positions in 48 kHz samples, whatever the packets’ duration', () => {
    for (const { name, expected } of oggFiles) {
      const writer = new OggOpusWriter();
      writer.header();
      const packets = packetsOf(name);
      const pages = packets.flatMap((packet) => new OggPageReader().push(writer.page([packet])));
      const sum = (samples: number[]) => samples.reduce((total, count) => total + count, 0);
      const positions = expected.packet_samples_24k.map((_, i, all) => BigInt(2 * sum(all.slice(0, i + 1))));
      expect(pages.map((page) => page.granule)).toEqual(positions);
      expect(writer.granule).toBe(positions.at(-1));
    }
  });

  it('starts with a BOS page and a tags page, both at position 0', () => {
    const bytes = new OggOpusWriter({ serial: 9, preSkip: 0, vendor: 'v', comments: ['a=b'] }).header();
    const pages = new OggPageReader().push(bytes);
    expect(pages.map(({ bos, granule, sequence, serial }) => [bos, granule, sequence, serial])).toEqual([
      [true, 0n, 0, 9],
      [false, 0n, 1, 9],
    ]);
    const reader = new OggOpusReader();
    expect(reader.push(bytes)).toEqual([]);
    expect(reader.head).toEqual({ ...headFields, preSkip: 0 });
    expect(reader.tags).toEqual({ vendor: 'v', comments: ['a=b'] });
  });

  it('has the defaults of the published servers', () => {
    const packets = new OggPacketReader().push(new OggOpusWriter().header());
    expect(packets[0]!.serial).toBe(42);
    expect(isOpusHead(packets[0]!.data)).toBe(true);
  });

  it('puts several packets on a page, and very many on several', () => {
    const writer = new OggOpusWriter();
    const packets = Array.from({ length: 600 }, (_, i) => opus(`${i}`));
    const bytes = concat(writer.header(), writer.page(packets));
    expect(words(new OggOpusReader().push(bytes))).toEqual(words(packets));
    const pages = new OggPageReader().push(bytes).slice(2);
    expect(pages.map((page) => page.granule)).toEqual([255n * 960n, 510n * 960n, 600n * 960n]);
  });

  it('ends with a marked page, with or without packets, and cuts what is padding', () => {
    const finish = (options?: Parameters<OggOpusWriter['end']>[0]) => {
      const writer = new OggOpusWriter();
      const bytes = concat(writer.header(), writer.page([opus('a')]), writer.end(options));
      const pages = new OggPageReader().push(bytes);
      expect(pages.map((page) => page.eos)).toEqual([false, false, false, true]);
      return { granule: pages[3]!.granule, words: words(new OggOpusReader().push(bytes)) };
    };
    expect(finish()).toEqual({ granule: 960n, words: ['a'] });
    expect(finish({ packets: [opus('b'), opus('c')] })).toEqual({ granule: 2880n, words: ['a', 'b', 'c'] });
    expect(finish({ packets: [opus('b')], trim: 100 })).toEqual({ granule: 1820n, words: ['a', 'b'] });
  });

  it.each([-1, 1.5, 961, Number.NaN])('refuses to cut %d samples off one 960 sample packet', (trim) => {
    const writer = new OggOpusWriter();
    writer.header();
    writer.page([opus('a')]);
    expect(() => writer.end({ packets: [opus('b')], trim })).toThrow(/trim/);
  });

  it('keeps the order: header once, pages, end once', () => {
    const writer = new OggOpusWriter();
    expect(() => writer.page([opus('a')])).toThrow(/header\(\) first/);
    expect(() => writer.end()).toThrow(/header\(\) first/);
    writer.header();
    expect(() => writer.header()).toThrow(/once/);
    expect(writer.page([])).toHaveLength(0);
    writer.end();
    expect(() => writer.page([opus('a')])).toThrow(/ended/);
    expect(() => writer.end()).toThrow(/ended/);
    expect(() => writer.header()).toThrow(/once/);
  });

  it('refuses bytes that are no Opus packet, and bad options', () => {
    const writer = new OggOpusWriter();
    writer.header();
    expect(() => writer.page([opus('a'), new Uint8Array(0)])).toThrow(/packet 1 of 0 bytes/);
    expect(writer.granule).toBe(0n);
    expect(() => new OggOpusWriter({ serial: -1 })).toThrow(/serial/);
    expect(() => new OggOpusWriter({ preSkip: 70_000 })).toThrow(/preSkip/);
  });

  it('gives a header whose pages another writer would have made the same', () => {
    const pages = new OggPageWriter({ serial: 42 });
    const bytes = concat(
      pages.page([encodeOpusHead(headFields)], { granule: 0n, bos: true }),
      pages.page([encodeOpusTags({ vendor: 'moshi-js' })], { granule: 0n }),
    );
    expect(new OggOpusWriter().header()).toEqual(bytes);
  });
});

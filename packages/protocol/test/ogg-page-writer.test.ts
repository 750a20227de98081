import { describe, expect, it } from 'vitest';
import { OggPacketReader, type OggPage, OggPageReader, OggPageWriter } from '../src/index';
import { concat, oggFiles, packetHash, Random, utf8 } from './helpers';

const read = (bytes: Uint8Array): OggPage[] => new OggPageReader().push(bytes);

describe('OggPageWriter', () => {
  // Pages on which a packet goes on cannot be asked for one by one, so multipage is written in another way below.
  it.each(oggFiles.filter(({ name }) => name !== 'multipage' && name !== 'truncated'))(
    'writes $name byte for byte as the tool that made it',
    ({ bytes }) => {
      const writers = new Map<number, OggPageWriter>();
      const written = read(bytes).map((page) => {
        const writer = writers.get(page.serial) ?? new OggPageWriter({ serial: page.serial });
        writers.set(page.serial, writer);
        const packets: Uint8Array[] = [];
        let start = 0;
        let at = 0;
        for (const lacing of page.segments) {
          at += lacing;
          if (lacing === 255) continue;
          packets.push(page.body.subarray(start, at));
          start = at;
        }
        return writer.page(packets, page);
      });
      expect(concat(...written)).toEqual(bytes);
    },
  );

  it('sets what it is told', () => {
    const writer = new OggPageWriter({ serial: 0xfffffffe });
    const bytes = concat(
      writer.page([utf8('a'), utf8(''), utf8('bc')], { granule: 2n ** 40n, bos: true }),
      writer.page([], { granule: -1n, eos: true }),
    );
    const common = { serial: 0xfffffffe, continued: false };
    expect(read(bytes)).toEqual([
      {
        ...common,
        sequence: 0,
        granule: 2n ** 40n,
        bos: true,
        eos: false,
        segments: Uint8Array.of(1, 0, 2),
        body: utf8('abc'),
      },
      {
        ...common,
        sequence: 1,
        granule: -1n,
        bos: false,
        eos: true,
        segments: new Uint8Array(0),
        body: new Uint8Array(0),
      },
    ]);
  });

  it.each([
    [0, [0]],
    [1, [1]],
    [254, [254]],
    [255, [255, 0]],
    [256, [255, 1]],
    [510, [255, 255, 0]],
  ])('laces a packet of %i bytes as %j', (length, segments) => {
    const [page] = read(new OggPageWriter({ serial: 1 }).page([new Uint8Array(length)], { granule: 0n }));
    expect([...page!.segments]).toEqual(segments);
  });

  it.each([255 * 255 - 1, 255 * 255, 255 * 255 + 1, 200_000])('spreads a packet of %i bytes over pages', (length) => {
    const packet = new Random(length).bytes(length);
    const bytes = new OggPageWriter({ serial: 1 }).page([packet], { granule: 960n, bos: true, eos: true });
    const pages = read(bytes);
    const last = pages.length - 1;
    expect(pages.length).toBe(Math.floor(length / 255 / 255) + 1);
    expect(pages.map((page) => page.granule)).toEqual(pages.map((_, i) => (i === last ? 960n : -1n)));
    expect(pages.map((page) => page.continued)).toEqual(pages.map((_, i) => i > 0));
    expect(pages.map((page) => page.bos)).toEqual(pages.map((_, i) => i === 0));
    expect(pages.map((page) => page.eos)).toEqual(pages.map((_, i) => i === last));
    const packets = new OggPacketReader().push(bytes);
    expect(packets).toEqual([{ data: packet, serial: 1, granule: 960n, bos: true, eos: true }]);
  });

  it('gives each page the position of the last packet that ends on it', () => {
    const packets = Array.from({ length: 300 }, (_, i) => Uint8Array.of(i & 255));
    const granules = packets.map((_, i) => BigInt(i));
    const pages = read(new OggPageWriter({ serial: 1 }).page(packets, { granule: granules }));
    expect(pages.map((page) => page.granule)).toEqual([254n, 299n]);
    expect(pages.map((page) => page.continued)).toEqual([false, false]);
  });

  it('refuses to guess a position, and uses up no page number by that', () => {
    const writer = new OggPageWriter({ serial: 1 });
    const packets = Array.from({ length: 300 }, () => Uint8Array.of(1));
    expect(() => writer.page(packets, { granule: 1n })).toThrow(/one granule each/);
    expect(() => writer.page(packets, { granule: [1n] })).toThrow(/no granule for packet 254/);
    expect(read(writer.page([utf8('x')], { granule: 0n }))[0]!.sequence).toBe(0);
  });

  it.each([-1, 1.5, 2 ** 32, Number.NaN])('refuses serial %d', (serial) => {
    expect(() => new OggPageWriter({ serial })).toThrow(/serial/);
  });

  it('writes random packets that read back the same', () => {
    const random = new Random(21);
    for (let round = 0; round < 60; round++) {
      const packets = Array.from({ length: random.below(20) }, () =>
        random.bytes(random.below(random.below(4) ? 600 : 40_000)),
      );
      const granule = packets.map((_, i) => BigInt(i));
      const bytes = new OggPageWriter({ serial: round }).page(packets, { granule });
      expect(packetHash(new OggPacketReader().push(bytes).map(({ data }) => data))).toBe(packetHash(packets));
    }
  });
});

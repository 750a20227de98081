import { describe, expect, it } from 'vitest';
import { OggPageReader, oggCrc } from '../src/index';
import { concat, oggFile, oggFiles, pagesOf, Random, splits, utf8 } from './helpers';

describe('oggCrc', () => {
  it('is the CRC-32 with polynomial 04c11db7, unreflected, from 0', () => {
    // The catalogued check value of CRC-32/CKSUM, 0x765e7680, before its final inversion.
    expect(oggCrc(utf8('123456789'))).toBe(~0x765e7680 >>> 0);
    expect(oggCrc(new Uint8Array(0))).toBe(0);
  });

  it('goes on from a seed', () => {
    expect(oggCrc(utf8('6789'), oggCrc(utf8('12345')))).toBe(oggCrc(utf8('123456789')));
  });
});

describe.each(oggFiles)('OggPageReader on $name', ({ bytes, expected }) => {
  it.each(splits(bytes))('%s', (_, pieces) => {
    const reader = new OggPageReader();
    const pages = pieces.flatMap((piece) => reader.push(piece));
    const rows = pages.map((page) => [
      (page.continued ? 1 : 0) | (page.bos ? 2 : 0) | (page.eos ? 4 : 0),
      Number(page.granule),
      page.serial,
      page.sequence,
      page.segments.length,
      page.body.length,
    ]);
    expect(rows).toEqual(expected.pages);
    const used = pages.reduce((sum, page) => sum + 27 + page.segments.length + page.body.length, 0);
    expect(reader.stats).toEqual({ pages: expected.pages.length, badCrc: 0, skippedBytes: 0 });
    expect(reader.pendingBytes).toBe(expected.bytes - used);
  });
});

describe('OggPageReader', () => {
  const { bytes, expected } = oggFile('frame40');
  const pageCount = expected.pages.length;

  it('hands a page out with its last byte, not before', () => {
    const reader = new OggPageReader();
    const [first, second] = pagesOf(1, [utf8('one'), utf8('two')]) as [Uint8Array, Uint8Array];
    expect(reader.push(first.subarray(0, -1))).toEqual([]);
    expect(reader.push(first.subarray(-1))).toHaveLength(1);
    expect(reader.push(concat(second, second.subarray(0, 5)))).toHaveLength(1);
    expect(reader.pendingBytes).toBe(5);
  });

  it('gives pages that stay as they are when the bytes are used again', () => {
    const reader = new OggPageReader();
    const buffer = pagesOf(1, [utf8('one')])[0]!;
    const page = reader.push(buffer)[0]!;
    buffer.fill(0);
    reader.push(pagesOf(1, [utf8('TWO')])[0]!);
    reader.push(pagesOf(1, [new Uint8Array(400)])[0]!);
    expect(page.body).toEqual(utf8('one'));
    expect([...page.segments]).toEqual([3]);
  });

  it('skips bytes before, between and after pages, whatever they look like', () => {
    const pages = pagesOf(3, [utf8('a'), utf8('b'), utf8('c')]);
    const junk = [utf8('Ogg'), utf8('OOggOggS\x01 not a page OggOgOgg'), utf8('\0\0OggS\0')];
    const stream = concat(junk[0]!, pages[0]!, junk[1]!, pages[1]!, junk[2]!, pages[2]!);
    for (const [name, pieces] of splits(stream)) {
      const reader = new OggPageReader();
      const bodies = pieces.flatMap((piece) => reader.push(piece)).map((page) => new TextDecoder().decode(page.body));
      // The last junk claims a page that would hold the real one: found again once the claim proves false.
      const rest = reader.push(new Uint8Array(70_000)).map((page) => new TextDecoder().decode(page.body));
      expect([...bodies, ...rest], name).toEqual(['a', 'b', 'c']);
      expect(reader.stats.pages).toBe(3);
    }
  });

  it('drops a page with a wrong checksum, counts it, and goes on with the next', () => {
    const broken = bytes.slice();
    broken[500]! ^= 1;
    for (const [name, pieces] of splits(broken)) {
      const reader = new OggPageReader();
      const pages = pieces.flatMap((piece) => reader.push(piece));
      expect(pages, name).toHaveLength(pageCount - 1);
      expect(reader.stats.badCrc).toBe(1);
      expect(reader.stats.skippedBytes).toBeGreaterThan(0);
    }
  });

  it.each([5, 6, 14, 18, 22, 26, 27, 28])('notices a changed byte %i of the header', (offset) => {
    const page = pagesOf(9, [utf8('some words')])[0]!;
    page[offset]! ^= 0x10;
    const reader = new OggPageReader();
    expect(reader.push(concat(page, new Uint8Array(70_000)))).toEqual([]);
    expect(reader.stats.skippedBytes + reader.pendingBytes).toBe(page.length + 70_000);
  });

  it('takes pages with a wrong checksum when told not to check', () => {
    const broken = bytes.slice();
    broken[500]! ^= 1;
    const reader = new OggPageReader({ checkCrc: false });
    expect(reader.push(broken)).toHaveLength(pageCount);
    expect(reader.stats.badCrc).toBe(0);
  });

  it('finds the pages inside a bad page whose length is wrong', () => {
    const pages = pagesOf(3, [utf8('first'), utf8('second'), utf8('third')]);
    pages[0]![27] = 200;
    const reader = new OggPageReader();
    const found = reader.push(concat(...pages, new Uint8Array(300)));
    expect(found.map((page) => page.sequence)).toEqual([1, 2]);
  });

  it('does linear work on bytes made to look like overlapping pages', () => {
    // Each 28 bytes claim a page of up to 25 kB: checking every claim would read a thousand times the input.
    const claim = concat(utf8('OggS'), new Uint8Array(22), Uint8Array.of(255, 90));
    const hostile = new Uint8Array(1 << 20);
    for (let at = 0; at + claim.length <= hostile.length; at += claim.length) hostile.set(claim, at);
    const reader = new OggPageReader();
    reader.push(hostile);
    const pages = reader.push(concat(new Uint8Array(70_000), ...pagesOf(1, [utf8('still here')])));
    expect(pages).toHaveLength(1);
    // 17 MiB of allowance over claims of about 9 kB each.
    expect(reader.stats.badCrc).toBeLessThan(3000);
  });

  it('tells junk from the start of a page as soon as the bytes do', () => {
    const reader = new OggPageReader();
    const held = [...utf8('OgxOggxOggS\x01')].map((byte) => {
      reader.push(Uint8Array.of(byte));
      return reader.pendingBytes;
    });
    expect(held).toEqual([1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4, 0]);
    expect(reader.stats.skippedBytes).toBe(12);
  });

  it('takes megabytes at once', () => {
    const pages = pagesOf(
      1,
      Array.from({ length: 40 }, (_, i) => new Random(i).bytes(i % 3 ? 65_000 : 100)),
    );
    const stream = concat(...pages, pages[1]!.subarray(0, 1000));
    const reader = new OggPageReader();
    expect(reader.push(stream).map((page) => page.body.length)).toEqual(pages.map((_, i) => (i % 3 ? 65_000 : 100)));
    expect(reader.stats).toEqual({ pages: 40, badCrc: 0, skippedBytes: 0 });
    expect(reader.pendingBytes).toBe(1000);
  });

  it('holds at most one page', () => {
    const random = new Random(11);
    const reader = new OggPageReader();
    for (let i = 0; i < 200; i++) {
      const piece = random.bytes(5000);
      piece.set(utf8('OggS\0'), random.below(4990));
      reader.push(piece);
      expect(reader.pendingBytes).toBeLessThan(27 + 255 + 255 * 255);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { type OggPacket, OggPacketReader, type OggPacketReaderOptions, OggPageWriter } from '../src/index';
import { concat, pagesOf, Random, rawPage, splits, utf8 } from './helpers';

const text = (packet: OggPacket): string => new TextDecoder().decode(packet.data);
const big = (length: number, seed = length): Uint8Array => new Random(seed).bytes(length);

function read(pages: readonly Uint8Array[], options?: OggPacketReaderOptions) {
  const reader = new OggPacketReader(options);
  const packets = pages.flatMap((page) => reader.push(page));
  return { packets, stats: reader.stats };
}

/** Packets cut into pages of at most `segments` lacing values, so that they run over page ends. */
function tightPages(serial: number, packets: readonly Uint8Array[], segments: number): Uint8Array[] {
  const lacing = packets.flatMap((packet) => [
    ...Array.from({ length: Math.floor(packet.length / 255) }, () => 255),
    packet.length % 255,
  ]);
  const body = concat(...packets);
  const pages: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < lacing.length; i += segments) {
    const values = lacing.slice(i, i + segments);
    const length = values.reduce((sum, value) => sum + value, 0);
    pages.push(
      rawPage(serial, pages.length, {
        continued: i > 0 && lacing[i - 1] === 255,
        lacing: values,
        body: body.subarray(at, at + length),
      }),
    );
    at += length;
  }
  return pages;
}

describe('OggPacketReader', () => {
  const unchecked = { checkCrc: false };

  it('says which packet is first and last, and the position of the last on each page', () => {
    const writer = new OggPageWriter({ serial: 5 });
    const { packets } = read([
      writer.page([utf8('a'), utf8('b')], { granule: 7n, bos: true }),
      writer.page([utf8('c'), utf8(''), utf8('d')], { granule: 9n, eos: true }),
    ]);
    const row = (packet: OggPacket) => [text(packet), packet.granule, packet.bos, packet.eos];
    expect(packets.map(row)).toEqual([
      ['a', -1n, true, false],
      ['b', 7n, false, false],
      ['c', -1n, false, false],
      ['', -1n, false, false],
      ['d', 9n, false, true],
    ]);
    expect(packets.every((packet) => packet.serial === 5)).toBe(true);
  });

  it.each([1, 2, 3, 255])('joins packets over pages of %i segments, at any split', (segments) => {
    const packets = [3, 255, 700, 0, 254, 510, 5000, 1].map((length) => big(length));
    const pages = tightPages(8, packets, segments);
    for (const [name, pieces] of splits(concat(...pages))) {
      const { packets: got, stats } = read(pieces, unchecked);
      expect(
        got.map((packet) => packet.data),
        name,
      ).toEqual(packets);
      expect(got.map((packet) => packet.bos)).toEqual(packets.map((_, i) => i === 0));
      expect(stats.brokenPackets).toBe(0);
      expect(stats.lostPages).toBe(0);
    }
  });

  it('keeps streams side by side apart', () => {
    const a = [big(1000, 1), utf8('a1'), big(900, 2), utf8('a2')];
    const b = [big(1200, 3), utf8('b1'), utf8('b2')];
    const [pagesA, pagesB] = [tightPages(1, a, 2), tightPages(2, b, 3)];
    const mixed: Uint8Array[] = [];
    for (let i = 0; i < Math.max(pagesA.length, pagesB.length); i++) {
      mixed.push(...pagesA.slice(i, i + 1), ...pagesB.slice(i, i + 1));
    }
    const { packets, stats } = read(mixed, unchecked);
    expect(packets.filter(({ serial }) => serial === 1).map(({ data }) => data)).toEqual(a);
    expect(packets.filter(({ serial }) => serial === 2).map(({ data }) => data)).toEqual(b);
    expect(stats.brokenPackets).toBe(0);
  });

  it('loses only the packets with a part on a lost page', () => {
    const packets = [utf8('one'), big(600), utf8('two'), big(900), utf8('three')];
    const pages = tightPages(1, packets, 2);
    for (let lost = 0; lost < pages.length; lost++) {
      const { packets: got, stats } = read(pages.toSpliced(lost, 1), unchecked);
      // Every packet that comes is one that was sent, in order, and at most three touch one page.
      const kept = got.map(({ data }) => packets.findIndex((packet) => Buffer.compare(packet, data) === 0));
      expect(
        kept.every((index, i) => index >= 0 && index > (kept[i - 1] ?? -1)),
        `page ${lost}`,
      ).toBe(true);
      expect(kept.length).toBeGreaterThanOrEqual(packets.length - 3);
      // A page lost at either end leaves no gap in the numbers.
      expect(stats.lostPages).toBe(lost === 0 || lost === pages.length - 1 ? 0 : 1);
    }
  });

  it('counts a packet whose middle is lost once', () => {
    const pages = tightPages(1, [big(2000), utf8('after')], 2);
    const { packets, stats } = read(pages.toSpliced(1, 1), unchecked);
    expect(packets.map(text)).toEqual(['after']);
    expect(stats).toMatchObject({ brokenPackets: 1, lostPages: 1, packets: 1 });
    expect(packets[0]!.bos).toBe(false);
  });

  it('starts in the middle of a packet without making one up', () => {
    const { packets, stats } = read(tightPages(1, [big(600), utf8('next')], 2).slice(1), unchecked);
    expect(packets.map(text)).toEqual(['next']);
    expect(stats.brokenPackets).toBe(1);
  });

  it('drops a packet that stops without its end', () => {
    const open = rawPage(1, 0, { lacing: [255], body: new Uint8Array(255) });
    const next = rawPage(1, 1, { lacing: [2], body: utf8('ok') });
    const { packets, stats } = read([open, next], unchecked);
    expect(packets.map(text)).toEqual(['ok']);
    expect(stats).toMatchObject({ brokenPackets: 1, lostPages: 0 });
  });

  it('does not let a packet go on after the end of its stream', () => {
    const open = rawPage(1, 0, { lacing: [255], body: new Uint8Array(255) });
    open[5]! |= 4;
    const more = rawPage(1, 1, { continued: true, lacing: [1, 2], body: utf8('xok') });
    const { packets, stats } = read([open, more], unchecked);
    expect(packets.map(text)).toEqual(['ok']);
    expect(stats.brokenPackets).toBe(2);
  });

  it('follows streams one after the other, also with the same serial and without an end', () => {
    const first = pagesOf(1, [utf8('a'), utf8('b')], { eos: true });
    const second = pagesOf(1, [utf8('c'), utf8('d')]);
    const third = pagesOf(1, [utf8('e')]);
    const { packets, stats } = read([...first, ...second, ...third]);
    expect(packets.map(text).join('')).toBe('abcde');
    expect(packets.map((packet) => packet.bos)).toEqual([true, false, true, false, true]);
    expect(stats).toMatchObject({ lostPages: 0, brokenPackets: 0 });
  });

  it('counts a jump back of the page numbers as one lost page', () => {
    const pages = pagesOf(1, ['a', 'b', 'c', 'd'].map(utf8));
    const { packets, stats } = read([pages[0]!, pages[3]!, pages[1]!]);
    expect(packets.map(text).join('')).toBe('adb');
    expect(stats.lostPages).toBe(3);
  });

  it('goes over the end of the page numbers', () => {
    const last = rawPage(1, 0xffffffff, { lacing: [1], body: utf8('x'), bos: true });
    const { packets, stats } = read([last, rawPage(1, 0, { bos: false, lacing: [1], body: utf8('y') })], unchecked);
    expect(packets.map(text).join('')).toBe('xy');
    expect(stats.lostPages).toBe(0);
  });

  it('drops packets longer than allowed and keeps their neighbours', () => {
    const pages = tightPages(1, [utf8('a'), big(3000), utf8('b'), big(1000), utf8('c')], 3);
    const { packets, stats } = read(pages, { ...unchecked, maxPacketBytes: 1000 });
    expect(packets.map(({ data }) => data.length)).toEqual([1, 1, 1000, 1]);
    expect(stats.brokenPackets).toBe(1);
  });

  it('takes lacing tables of all kinds', () => {
    const body = new Uint8Array(255 * 255);
    const pages = [
      rawPage(1, 0, { lacing: [] }),
      rawPage(1, 1, { lacing: Array.from({ length: 255 }, () => 0) }),
      rawPage(1, 2, { lacing: Array.from({ length: 255 }, () => 255), body }),
      rawPage(1, 3, { continued: true, lacing: [] }),
      rawPage(1, 4, { continued: true, lacing: [0] }),
      rawPage(1, 5, { continued: true, lacing: [3, 0], body: utf8('abc') }),
    ];
    const { packets, stats } = read(pages, unchecked);
    expect(packets.map(({ data }) => data.length)).toEqual([...Array.from({ length: 255 }, () => 0), 65_025, 0]);
    // The last page goes on with a packet, but none was open.
    expect(stats.brokenPackets).toBe(1);
  });

  it('forgets the stream unused for longest when there are too many', () => {
    const open = (serial: number) => rawPage(serial, 0, { lacing: [255], body: new Uint8Array(255).fill(serial) });
    const close = (serial: number) => rawPage(serial, 1, { continued: true, lacing: [1], body: Uint8Array.of(serial) });
    const { packets, stats } = read([open(1), open(2), open(3), close(1), close(2), close(3)], {
      ...unchecked,
      maxStreams: 2,
    });
    // 3 pushed 1 out; 1, coming back, pushed 2 out; 2 pushed 3 out.
    expect(packets).toEqual([]);
    expect(stats.brokenPackets).toBeGreaterThanOrEqual(3);
    const enough = read([open(1), open(2), open(3), close(1), close(2), close(3)], { ...unchecked, maxStreams: 3 });
    expect(enough.packets.map(({ serial, data }) => [serial, data.length])).toEqual([1, 2, 3].map((s) => [s, 256]));
  });
});

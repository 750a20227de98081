import { describe, expect, it } from 'vitest';
import { OggOpusReader, OggPacketReader, OggPageReader, oggCrc } from '../src/index';
import { concat, oggFiles, Random, rawPage, utf8 } from './helpers';

const originals = oggFiles.map(({ bytes }) => bytes);
const MAX_PAGE = 27 + 255 + 255 * 255;

/** Changes bytes, cuts, doubles, swaps and inserts: what may happen to a stream. */
function mutate(random: Random, original: Uint8Array): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let change = random.below(6); change >= 0; change--) {
    const at = random.below(bytes.length);
    const length = random.below(400);
    const piece = bytes.slice(at, at + length);
    switch (random.below(6)) {
      case 0:
        bytes[at] = random.below(256);
        break;
      case 1:
        bytes = concat(bytes.subarray(0, at), bytes.subarray(at + length));
        break;
      case 2:
        bytes = concat(bytes.subarray(0, at), piece, bytes.subarray(at));
        break;
      case 3:
        bytes = concat(bytes.subarray(0, at), random.bytes(length), bytes.subarray(at));
        break;
      case 4:
        bytes = concat(bytes.subarray(0, at), utf8('OggS'), bytes.subarray(at));
        break;
      default:
        bytes.set(piece, random.below(bytes.length - piece.length + 1));
    }
    if (bytes.length === 0) bytes = utf8('O');
  }
  return bytes;
}

/** The checksum made right, so that the bytes behind it are believed. */
function sign(page: Uint8Array): Uint8Array {
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  view.setUint32(22, 0, true);
  view.setUint32(22, oggCrc(page), true);
  return page;
}

describe('damaged Ogg streams', () => {
  it('account for every byte, hold at most a page, and read the same at every split', () => {
    const random = new Random(101);
    for (let round = 0; round < 300; round++) {
      const bytes = mutate(random, originals[round % originals.length]!);
      const whole = new OggPageReader();
      const pages = whole.push(bytes);
      const used = pages.reduce((sum, page) => sum + 27 + page.segments.length + page.body.length, 0);
      expect(used + whole.stats.skippedBytes + whole.pendingBytes).toBe(bytes.length);
      const cut = new OggPageReader();
      const got = random.split(bytes, 1 + random.below(900)).flatMap((piece) => {
        const found = cut.push(piece);
        expect(cut.pendingBytes).toBeLessThan(MAX_PAGE);
        return found;
      });
      expect(got.map((page) => oggCrc(page.body))).toEqual(pages.map((page) => oggCrc(page.body)));
      expect(cut.stats).toEqual(whole.stats);
      expect(cut.pendingBytes).toBe(whole.pendingBytes);
    }
  });

  it('give only packets that were in them, while pages are checked', () => {
    const random = new Random(102);
    for (let round = 0; round < 300; round++) {
      const original = originals[round % originals.length]!;
      const sent = new Set(new OggPacketReader().push(original).map(({ data }) => data.toString()));
      const reader = new OggPacketReader();
      // Long packets over several pages may be joined wrongly only if the page numbers agree by chance.
      for (const { data } of reader.push(mutate(random, original))) expect(sent).toContain(data.toString());
    }
  });

  it('survive when checksums are not looked at', () => {
    const random = new Random(103);
    for (let round = 0; round < 300; round++) {
      const reader = new OggOpusReader({ checkCrc: false, maxPacketBytes: 5000 });
      for (const piece of random.split(mutate(random, originals[round % originals.length]!), 600)) {
        for (const packet of reader.push(piece)) expect(packet.length > 0 && packet.length <= 5000).toBe(true);
      }
    }
  });
});

describe('hostile Ogg streams', () => {
  it('survive random bytes', () => {
    const random = new Random(104);
    const reader = new OggOpusReader();
    for (let round = 0; round < 300; round++) expect(reader.push(random.bytes(random.below(3000)))).toEqual([]);
    expect(reader.stats.pages).toBe(0);
  });

  it('survive pages that are right in form and random in content', () => {
    const random = new Random(105);
    const reader = new OggOpusReader({ maxPacketBytes: 20_000, maxStreams: 3 });
    let packets = 0;
    for (let round = 0; round < 3000; round++) {
      const lacing = Array.from({ length: random.below(random.below(3) ? 5 : 256) }, () =>
        random.below(2) ? 255 : random.below(256),
      );
      const body = random.bytes(lacing.reduce((sum, value) => sum + value, 0));
      if (random.below(8) === 0) body.set(utf8(random.below(2) ? 'OpusHead' : 'OpusTags').subarray(0, body.length));
      const page = rawPage(random.below(5), random.below(4), {
        continued: random.below(2) === 0,
        bos: random.below(6) === 0,
        lacing,
        body,
      });
      if (random.below(6) === 0) page[5]! |= 4;
      for (const packet of reader.push(sign(page))) {
        packets++;
        expect(packet.length > 0 && packet.length <= 20_000).toBe(true);
      }
    }
    expect(reader.stats.pages).toBe(3000);
    expect(reader.stats.audioPackets).toBe(packets);
    expect(packets).toBeGreaterThan(100);
  });

  it('hold bounded memory: a packet without an end, in very many streams', () => {
    const reader = new OggPacketReader({ maxPacketBytes: 70_000, maxStreams: 4 });
    const lacing = Array.from({ length: 255 }, () => 255);
    const body = new Uint8Array(255 * 255);
    let broken = 0;
    for (let serial = 0; serial < 200; serial++) {
      reader.push(sign(rawPage(serial, 0, { lacing, body })));
      reader.push(sign(rawPage(serial, 1, { continued: true, bos: false, lacing, body })));
      // Each is dropped at its second page, which takes it over the limit.
      expect(reader.stats.brokenPackets).toBe(++broken);
    }
    expect(reader.stats.packets).toBe(0);
  });

  it('hand tiny packets over one after the other', () => {
    const page = sign(rawPage(1, 0, { bos: false, lacing: Array.from({ length: 255 }, () => 0) }));
    const reader = new OggOpusReader();
    reader.forEach(page, () => expect.unreachable('an empty packet is no audio'));
    expect(reader.stats.emptyPackets).toBe(255);
  });
});

import { createHash } from 'node:crypto';
import type { OggOpusDecoder } from '@moshi/opus';
import { encodeOpusHead, encodeOpusTags, OggOpusWriter, OggPageWriter } from '@moshi/protocol';
import { describe, expect, it } from 'vitest';
import { AudioInput } from '../src/session/audio-input';
import { FrameCutter } from '../src/session/frame-cutter';
import { oggOpus } from './support/client';
import { random, tone } from './support/signals';

/** Stands in for the decoder: keeps what it is given and makes one frame of each page. */
class Decoder {
  readonly given: Uint8Array[] = [];
  stats = { lost: 0 };
  decode(bytes: Uint8Array): Float32Array {
    this.given.push(bytes);
    return new Float32Array(1920).fill(this.given.length);
  }
  free() {}
}

function inputWith(decoder: Decoder): AudioInput {
  const input = new AudioInput();
  input.use(decoder as unknown as OggOpusDecoder);
  return input;
}

// Digests: a failing comparison of pages would print them.
const digest = (pages: Uint8Array[]) => createHash('sha256').update(Buffer.concat(pages)).digest('hex');

describe('AudioInput', () => {
  it('gives the decoder the same bytes it got, page by page', async () => {
    const decoder = new Decoder();
    const input = inputWith(decoder);
    const bytes = Buffer.concat(await oggOpus(tone(3, 300)));
    input.write(bytes);
    expect(input.fill(1000)).toBe(false);
    expect(digest(decoder.given)).toBe(digest([bytes]));
    expect(decoder.given).toHaveLength(8);
    expect(input.backlog).toBe(false);
  });

  it('decodes no further than asked', async () => {
    const decoder = new Decoder();
    const input = inputWith(decoder);
    input.write(Buffer.concat(await oggOpus(tone(10, 300))));
    input.fill(4);
    expect([input.frames, decoder.given.length, input.backlog]).toEqual([4, 4, true]);
    input.next();
    input.fill(4);
    expect([input.frames, decoder.given.length]).toEqual([4, 5]);
  });

  it('lets others have their turn while pages give no audio', async () => {
    const decoder = new Decoder();
    decoder.decode = (bytes) => {
      decoder.given.push(bytes);
      return new Float32Array(0);
    };
    const input = inputWith(decoder);
    input.write(Buffer.concat(await oggOpus(tone(100, 300))));
    input.fill(1);
    expect(decoder.given.length).toBeLessThan(50);
    expect(input.backlog).toBe(true);
  });

  it('keeps headers that come before the decoder, also over several pages, and no audio', () => {
    const writer = new OggPageWriter({ serial: 5 });
    const head = encodeOpusHead({
      version: 1,
      channels: 1,
      preSkip: 0,
      inputSampleRate: 0,
      outputGain: 0,
      mappingFamily: 0,
    });
    const tags = encodeOpusTags({ vendor: 'v'.repeat(60_000), comments: ['c'.repeat(5200)] });
    const headers = [writer.page([head], { granule: 0n, bos: true }), writer.page([tags], { granule: 0n })];
    const audio = [1, 2, 3].map((i) => writer.page([Uint8Array.of(0x48, i)], { granule: BigInt(i) }));
    const input = new AudioInput();
    input.drop(Buffer.concat([...headers, ...audio]));
    expect(input.dropped).toBe(3);
    const decoder = new Decoder();
    input.use(decoder as unknown as OggOpusDecoder);
    expect(digest(decoder.given)).toBe(digest(headers));
  });

  it('keeps the headers of the newest stream only', () => {
    const headers = [1, 2].map((serial) => new OggOpusWriter({ serial }).header());
    const input = new AudioInput();
    for (const header of headers) input.drop(header);
    const decoder = new Decoder();
    input.use(decoder as unknown as OggOpusDecoder);
    expect(digest(decoder.given)).toBe(digest([headers[1]!]));
  });

  it('keeps a bounded amount of headers', () => {
    const header = new OggOpusWriter({ comments: ['x'.repeat(200_000)] }).header();
    const input = new AudioInput();
    input.drop(header);
    const decoder = new Decoder();
    input.use(decoder as unknown as OggOpusDecoder);
    expect(Buffer.concat(decoder.given).length).toBeLessThan(140_000);
    expect(decoder.given.length).toBeGreaterThan(0);
  });

  it('gives headers to the decoder even while audio is dropped, but not audio in their clothes', async () => {
    const decoder = new Decoder();
    const input = inputWith(decoder);
    const pages = await oggOpus(tone(1, 300));
    input.drop(Buffer.concat(pages));
    expect(digest(decoder.given)).toBe(digest(pages.slice(0, 1)));
    expect(input.frames).toBe(0);
    const head = encodeOpusHead({
      version: 1,
      channels: 1,
      preSkip: 0,
      inputSampleRate: 0,
      outputGain: 0,
      mappingFamily: 0,
    });
    const dressed = new OggPageWriter({ serial: 9 }).page([head, ...Array(200).fill(Uint8Array.of(0x18))], {
      granule: 0n,
      bos: true,
    });
    input.drop(dressed);
    expect(decoder.given).toHaveLength(2);
  });

  it('tells of every kind of fault once', async () => {
    const decoder = new Decoder();
    const input = inputWith(decoder);
    const pages = await oggOpus(tone(5, 300));
    input.write(Buffer.from('stray bytes'));
    input.write(pages[0]!);
    expect(input.fill(99)).toBe(true);
    expect(input.fill(99)).toBe(false);
    const damaged = Uint8Array.from(pages[1]!);
    damaged[30]! ^= 1;
    input.write(damaged);
    input.write(pages[2]!);
    expect(input.fill(99)).toBe(true);
    decoder.stats = { lost: 1 };
    input.write(pages[3]!);
    expect(input.fill(99)).toBe(true);
    input.write(pages[4]!);
    expect(input.fill(99)).toBe(false);
  });
});

describe('FrameCutter', () => {
  it('cuts chunks of any length into the same frames', () => {
    const next = random(3);
    const pcm = Float32Array.from({ length: 1920 * 20 + 7 }, next);
    const cutter = new FrameCutter();
    const out: number[] = [];
    for (let at = 0; at < pcm.length; ) {
      const end = at + Math.floor(next() * 5000);
      cutter.push(pcm.slice(at, end));
      at = end;
      if (next() < 0.5) out.push(...(cutter.next() ?? []));
    }
    expect(cutter.frames).toBe(20 - out.length / 1920);
    for (let frame = cutter.next(); frame; frame = cutter.next()) out.push(...frame);
    expect(Float32Array.from(out)).toEqual(pcm.slice(0, 1920 * 20));
    cutter.clear();
    cutter.push(pcm.slice(0, 1919));
    expect(cutter.frames).toBe(0);
    expect(cutter.next()).toBeUndefined();
  });
});

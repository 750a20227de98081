import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { OggOpusDecoder, OggOpusEncoder } from '../src/index';
import { collectGarbage, oggFile, speech } from './helpers';

async function encodeOnce(): Promise<void> {
  const encoder = await OggOpusEncoder.create();
  encoder.header();
  encoder.encode(speech.subarray(0, 960));
  encoder.free();
}

// In a file of its own: other tests' garbage would hide the growth.
describe('memory', () => {
  it('OggOpusEncoder: gives it back when freed, also when an option is refused late', async () => {
    await encodeOnce();
    collectGarbage();
    const before = process.memoryUsage().external;
    for (let i = 0; i < 2500; i++) {
      await encodeOnce();
      await OggOpusEncoder.create({ serial: -1 }).catch(() => undefined);
    }
    collectGarbage();
    // Each takes 43 kB of the codec's one memory, which never shrinks.
    expect(process.memoryUsage().external - before).toBeLessThan(20e6);
  });

  it('OggOpusDecoder: gives it back when freed, though the decoder itself is kept', async () => {
    const kept: OggOpusDecoder[] = [];
    (await OggOpusDecoder.create()).free();
    collectGarbage();
    const before = process.memoryUsage().external;
    for (let i = 0; i < 20; i++) {
      const decoder = await OggOpusDecoder.create();
      decoder.decode(oggFile('server').bytes);
      decoder.free();
      kept.push(decoder);
    }
    // Each reserves 29 MB while it lives. Collected memory is counted as free a little later.
    const growth = () => process.memoryUsage().external - before;
    for (let round = 0; round < 100 && growth() > 150e6; round++) {
      collectGarbage();
      await setTimeout(10);
    }
    expect(growth()).toBeLessThan(150e6);
    expect(kept[0]!.stats.packets).toBe(51);
  });
});

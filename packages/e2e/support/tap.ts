import { Resampler, resample } from '@moshi/protocol/audio';
import type { Page } from 'playwright-core';
import { installTap, type TapBlock } from './tap-in-page';

/** What a page's microphones gave and its loudspeaker played, both on one clock: sample n of each belongs to one moment. */
export interface TappedSound {
  readonly captured: Float32Array;
  readonly heard: Float32Array;
  readonly sampleRate: number;
}

/** Listens to a page. */
export interface Tap {
  /** What came so far; the last 50 ms may be missing. */
  read(): TappedSound;
  /** As {@link read}, and what comes later is forgotten. */
  stop(): TappedSound;
}

/**
 * Listens to all that a page plays through Web Audio and to what its microphones give, whatever the page is made of: to be
 * called before the page loads. Sound of `<audio>` elements is not heard.
 */
export async function tap(page: Page): Promise<Tap> {
  const collected = new CollectedTap();
  await page.exposeFunction('moshiTapBlock', (block: TapBlock) => collected.add(block));
  await page.addInitScript(installTap);
  return collected;
}

/** What was tapped, 24 kHz mono. */
export function at24k({ captured, heard, sampleRate }: TappedSound): Pick<TappedSound, 'captured' | 'heard'> {
  return { captured: resample(captured, sampleRate, 24_000), heard: resample(heard, sampleRate, 24_000) };
}

/** What {@link installTap} sent out of a page. */
export class CollectedTap implements Tap {
  readonly #blocks: TapBlock[] = [];
  #stopped = false;

  add(block: TapBlock): void {
    if (!this.#stopped) this.#blocks.push(block);
  }

  read(): TappedSound {
    return assemble(this.#blocks);
  }

  stop(): TappedSound {
    this.#stopped = true;
    return this.read();
  }
}

/** Lays blocks where they belong. Each context has a clock of its own, whose beginning is told by the block that came with the least delay. */
function assemble(blocks: readonly TapBlock[]): TappedSound {
  const sampleRate = blocks[0]?.sampleRate ?? 48_000;
  const contexts = [...new Set(blocks.map(({ context }) => context))].map((context) => {
    const own = blocks.filter((block) => block.context === context);
    const origin = Math.min(...own.map(({ atMs, frame, sampleRate: rate }) => atMs / 1000 - frame / rate));
    return { begin: origin + own[0]!.frame / own[0]!.sampleRate, ...sides(own, sampleRate) };
  });
  const begin = Math.min(...contexts.map((context) => context.begin));
  const placed = contexts.map((context) => ({ ...context, at: Math.round((context.begin - begin) * sampleRate) }));
  const length = Math.max(0, ...placed.map(({ at, heard }) => at + heard.length));
  const captured = new Float32Array(length);
  const heard = new Float32Array(length);
  for (const context of placed) {
    add(captured, context.captured, context.at);
    add(heard, context.heard, context.at);
  }
  return { captured, heard, sampleRate };
}

/** Both sides of one context from its first frame on. */
function sides(blocks: readonly TapBlock[], sampleRate: number): { captured: Float32Array; heard: Float32Array } {
  const first = blocks[0]!;
  const end = Math.max(...blocks.map(({ frame, captured }) => frame + samples(captured).length));
  const captured = new Float32Array(end - first.frame);
  const heard = new Float32Array(end - first.frame);
  for (const block of blocks) {
    captured.set(samples(block.captured), block.frame - first.frame);
    heard.set(samples(block.heard), block.frame - first.frame);
  }
  return {
    captured: convert(captured, first.sampleRate, sampleRate),
    heard: convert(heard, first.sampleRate, sampleRate),
  };
}

function convert(pcm: Float32Array, from: number, to: number): Float32Array {
  return from === to ? pcm : new Resampler(from, to).push(pcm);
}

function samples(base64: string): Float32Array {
  const bytes = Buffer.from(base64, 'base64');
  return Float32Array.from(new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1), (s) => s / 0x8000);
}

function add(into: Float32Array, pcm: Float32Array, at: number): void {
  for (let i = 0; i < pcm.length && at + i < into.length; i++) into[at + i]! += pcm[i]!;
}

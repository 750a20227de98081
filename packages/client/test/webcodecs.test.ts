import { OpusPacketEncoder } from '@moshi/opus';
import { OggOpusWriter, opusPacketSamples } from '@moshi/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { AudioOptions } from '../src/index';
import { compareEnvelopes, speechLike } from '../src/testing/index';

type Misbehaviour = 'none' | 'unsupported' | 'holds back' | 'says nothing' | 'other lengths' | 'silence' | 'throws';

/** Sound whose memory was not given back. */
const unclosed = new Set<object>();

/** A browser's encoder, as far as one is used, with libopus in it and faults to choose from. */
function stubEncoder(misbehaviour: Misbehaviour) {
  const encoders: { fail(): void; state: string }[] = [];
  class FakeAudioData {
    readonly samples: Float32Array;
    constructor({ data }: { data: Float32Array }) {
      this.samples = data;
      unclosed.add(this);
    }
    close() {
      unclosed.delete(this);
    }
  }
  class FakeAudioEncoder {
    static async isConfigSupported() {
      if (misbehaviour === 'throws') throw new TypeError('no such codec');
      return { supported: misbehaviour !== 'unsupported' };
    }
    state = 'unconfigured';
    #opus: Promise<OpusPacketEncoder> | undefined;
    #held: Uint8Array[] = [];
    constructor(readonly init: { output(chunk: object): void; error(error: Error): void }) {
      encoders.push(this);
    }
    configure({ opus }: { opus: { frameDuration: number } }) {
      this.state = 'configured';
      const frameMs = misbehaviour === 'other lengths' ? 40 : ((opus.frameDuration / 1000) as 20 | 40);
      this.#opus = OpusPacketEncoder.create({ frameMs });
    }
    encode({ samples }: FakeAudioData) {
      if (this.state === 'closed') throw new TypeError('the encoder is closed');
      if (misbehaviour === 'says nothing') return;
      void this.#opus?.then((opus) => {
        const frame = new Float32Array(opus.frameSamples);
        if (misbehaviour !== 'silence') frame.set(samples.subarray(0, frame.length));
        this.#held.push(opus.encode(frame));
        if (this.state === 'closed' || (misbehaviour === 'holds back' && this.#held.length < 6)) return;
        const bytes = this.#held.shift()!;
        this.init.output({ byteLength: bytes.length, copyTo: (to: Uint8Array) => to.set(bytes) });
      });
    }
    fail() {
      this.state = 'closed';
      this.init.error(new Error('the codec was reclaimed'));
    }
    close() {
      this.state = 'closed';
    }
  }
  vi.stubGlobal('AudioEncoder', FakeAudioEncoder);
  vi.stubGlobal('AudioData', FakeAudioData);
  // The trial's time is over when the test says so: libopus may take its time on a busy machine.
  if (!/holds back|says nothing/.test(misbehaviour)) vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  return encoders;
}

const WORDS = speechLike(2);

describe('the encoder of the browser', () => {
  let browserCodecs: typeof import('../src/codec/webcodecs').browserCodecs;
  beforeEach(async () => {
    // What a browser can do is remembered.
    vi.resetModules();
    ({ browserCodecs } = await import('../src/codec/webcodecs'));
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  async function open(encoder?: AudioOptions['encoder']) {
    const packets: Uint8Array[] = [];
    const failures: string[] = [];
    const codecs = browserCodecs(encoder);
    const sink = {
      packet: (bytes: Uint8Array) => packets.push(bytes),
      failed: (error: Error) => failures.push(error.message),
    };
    return { codecs, sink, packets, failures, encoder: await codecs.createEncoder({ frameMs: 20 }, sink) };
  }

  it('takes over what it can, and its packets are the sound', async () => {
    const encoders = stubEncoder('none');
    const { encoder, codecs, packets } = await open();
    // One for the test of it, and one to work.
    expect(encoders.map(({ state }) => state)).toEqual(['closed', 'configured']);
    for (let at = 0; at < WORDS.length; at += 480) encoder.push(WORDS.subarray(at, at + 480));
    expect(encoder.pending).toBe(WORDS.length);
    await vi.waitFor(() => expect(packets).toHaveLength(100), 20_000);
    expect(encoder.pending).toBe(0);
    expect(packets.every((packet) => opusPacketSamples(packet, 24_000) === 480)).toBe(true);
    const decoder = await codecs.createDecoder({ maxSeconds: 10 });
    const writer = new OggOpusWriter({ preSkip: encoder.preSkip });
    decoder.decode(writer.header());
    const { correlation, delayMs } = compareEnvelopes(WORDS, decoder.decode(writer.page(packets)));
    expect(correlation).toBeGreaterThan(0.98);
    expect(delayMs).toBeLessThanOrEqual(10);
    decoder.free();
    encoder.free();
    encoder.free();
  });

  it('is tried once for a page', async () => {
    const encoders = stubEncoder('none');
    const [first, second] = [await open(), await open()];
    expect(encoders).toHaveLength(3);
    first.encoder.free();
    second.encoder.free();
  });

  it.each<Misbehaviour>(['unsupported', 'holds back', 'says nothing', 'other lengths', 'silence', 'throws'])(
    'that is not good (%s) is not used',
    async (misbehaviour) => {
      const encoders = stubEncoder(misbehaviour);
      const { encoder, packets } = await open();
      encoder.push(WORDS.subarray(0, 480));
      // WebAssembly gives its packets at once.
      expect(packets).toHaveLength(1);
      expect(encoders.every(({ state }) => state === 'closed')).toBe(true);
      encoder.free();
      await expect(open('webcodecs')).rejects.toMatchObject({ code: 'unsupported' });
    },
  );

  it('is not looked for where it is not wanted, or not there', async () => {
    const encoders = stubEncoder('none');
    (await open('wasm')).encoder.free();
    expect(encoders).toEqual([]);
    vi.unstubAllGlobals();
    const { encoder, packets } = await open();
    encoder.push(WORDS.subarray(0, 480));
    expect(packets).toHaveLength(1);
    encoder.free();
  });

  it('that breaks down in a call is followed by WebAssembly', async () => {
    const encoders = stubEncoder('none');
    const { codecs, sink, encoder, packets, failures } = await open();
    encoders.at(-1)!.fail();
    expect(failures).toEqual(['the codec was reclaimed']);
    encoder.free();
    const next = await codecs.createEncoder({ frameMs: 20 }, sink);
    next.push(WORDS.subarray(0, 480));
    expect(packets).toHaveLength(1);
    expect(encoders).toHaveLength(2);
    next.free();
  });

  it('gives back the memory of sound, also of what it does not take any more', async () => {
    const encoders = stubEncoder('none');
    const { encoder } = await open();
    encoder.push(WORDS.subarray(0, 480));
    encoders.at(-1)!.fail();
    expect(() => encoder.push(WORDS.subarray(0, 480))).toThrow('the encoder is closed');
    expect(unclosed.size).toBe(0);
    encoder.free();
  });

  it('gets nothing that would spoil the stream', async () => {
    stubEncoder('none');
    const { encoder, packets } = await open();
    encoder.push(new Float32Array(480).fill(Number.NaN));
    encoder.push(new Float32Array(480).fill(7));
    await vi.waitFor(() => expect(packets).toHaveLength(2), 20_000);
    encoder.free();
  });
});

import { OggOpusDecoder, OpusPacketEncoder } from '@moshi/opus';
import { OggOpusReader, OggPageWriter, opusPacketSamples } from '@moshi/protocol';
import { describe, expect, it, vi } from 'vitest';
import { fakeSession } from './support/fake-session';
import { speech } from './support/signal';
import { opusPages } from './support/wire';

/** So many packets. */
async function packets(count: number, frameMs: 20 | 40 = 20): Promise<Uint8Array[]> {
  const encoder = await OpusPacketEncoder.create({ frameMs });
  const samples = frameMs * 24;
  const sound = speech((count * frameMs) / 1000);
  const made = Array.from({ length: count }, (_, i) => encoder.encode(sound.subarray(i * samples, (i + 1) * samples)));
  encoder.free();
  return made;
}

describe('a session without codecs', () => {
  it('sends Opus packets as they are, in pages, and hands out those of the server, on the reply’s clock', async () => {
    const codecs = [vi.spyOn(OggOpusDecoder, 'create'), vi.spyOn(OpusPacketEncoder, 'create')];
    const { transport, session } = await fakeSession({ codecs: false });
    for (const codec of codecs) expect(codec).not.toHaveBeenCalled();
    const heard: [time: number, packets: number][] = [];
    session.on('packets', ({ packets, time }) => heard.push([time, packets.length]));
    session.sendPackets(await packets(5));
    expect(transport.sent).toHaveLength(3);
    const decoder = await OggOpusDecoder.create();
    const pcm = transport.sent.map((message) => (message.type === 'audio' ? decoder.decode(message.data).length : -1));
    expect(pcm).toEqual([0, 960, 960]);
    decoder.free();
    for (const data of await opusPages(1)) transport.receive({ type: 'audio', data });
    expect(heard).toEqual([
      [0, 1],
      [0.04, 1],
    ]);
    expect(session.metrics).toMatchObject({ audioSentSeconds: 0.08, audioReceivedSeconds: 0.08, lostPackets: 0 });
    transport.hangUp();
  });

  it('passes on packets of any length, and ends the last page where it is to finish', async () => {
    const { transport, session } = await fakeSession({ codecs: false });
    session.sendPackets([...(await packets(1, 20)), ...(await packets(2, 40))]);
    expect(session.metrics).toMatchObject({ audioSentSeconds: 0.06, bufferedMs: 40 });
    await session.finish();
    expect(session.metrics).toMatchObject({ audioSentSeconds: 0.1, bufferedMs: 0 });
    const reader = new OggOpusReader();
    const sent = transport.sent.map((message) => (message.type === 'audio' ? reader.push(message.data) : []));
    expect(sent.map((page) => page.map((packet) => opusPacketSamples(packet)))).toEqual([[], [480, 960], [960]]);
    await session.finish();
    expect(transport.sent).toHaveLength(3);
    transport.hangUp();
  });

  it('hands out no packet that another server would refuse', async () => {
    const { transport, session } = await fakeSession({ codecs: false });
    const heard: Uint8Array[] = [];
    session.on('packets', ({ packets }) => heard.push(...packets));
    const [good] = await packets(1);
    const broken = Uint8Array.of(0x03, 0);
    const pages = new OggPageWriter({ serial: 1 });
    for (const packet of [broken, good!, broken]) {
      transport.receive({ type: 'audio', data: pages.page([packet], { granule: 0n }) });
    }
    expect(heard).toEqual([good]);
    expect(session.metrics).toMatchObject({ lostPackets: 2, audioReceivedSeconds: 0.02 });
    transport.hangUp();
  });

  it('drops what the network does not take, and says so', async () => {
    const { transport, session, log } = await fakeSession({ codecs: false });
    transport.bufferedAmount = 1_000_000;
    session.sendPackets(await packets(1));
    expect(log.at(-1)).toEqual(['dropped', { ms: 20, totalMs: 20 }]);
    expect(transport.sent).toEqual([]);
    transport.hangUp();
  });

  it('takes packets and nothing else, and one with codecs takes none', async () => {
    const { transport, session } = await fakeSession({ codecs: false });
    expect(() => session.sendAudio(new Float32Array(960))).toThrow(expect.objectContaining({ code: 'unsupported' }));
    expect(() => session.sendSilence(80)).toThrow(expect.objectContaining({ code: 'unsupported' }));
    const [packet] = await packets(1);
    for (const wrong of [new Uint8Array(0), [1, 2], Uint8Array.of(0x03, 0), Uint8Array.of(packet![0]! | 1, 1, 2, 3)]) {
      expect(() => session.sendPackets([wrong as Uint8Array])).toThrow(expect.objectContaining({ code: 'bad-option' }));
    }
    transport.hangUp();
    const usual = await fakeSession();
    expect(() => usual.session.sendPackets([packet!])).toThrow(expect.objectContaining({ code: 'bad-option' }));
    usual.transport.hangUp();
  });
});

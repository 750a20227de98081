import { OggOpusDecoder, OpusPacketEncoder } from '@moshi/opus';
import { describe, expect, it, vi } from 'vitest';
import { fakeSession } from './support/fake-session';
import { speech } from './support/signal';
import { opusPages } from './support/wire';

/** So many packets of 20 ms. */
async function packets(count: number): Promise<Uint8Array[]> {
  const encoder = await OpusPacketEncoder.create({ frameMs: 20 });
  const sound = speech(count * 0.02);
  const made = Array.from({ length: count }, (_, i) => encoder.encode(sound.subarray(i * 480, (i + 1) * 480)));
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
    for (const wrong of [new Uint8Array(0), [1, 2], Uint8Array.of(0x03, 1), Uint8Array.of(packet![0]! | 1, 1, 2)]) {
      expect(() => session.sendPackets([wrong as Uint8Array])).toThrow(expect.objectContaining({ code: 'bad-option' }));
    }
    transport.hangUp();
    const usual = await fakeSession();
    expect(() => usual.session.sendPackets([packet!])).toThrow(expect.objectContaining({ code: 'bad-option' }));
    usual.transport.hangUp();
  });
});

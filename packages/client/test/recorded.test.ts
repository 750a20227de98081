import { readFileSync } from 'node:fs';
import { OggOpusEncoder } from '@moshi/opus';
import { encodeMessage } from '@moshi/protocol';
import { afterEach, expect, it } from 'vitest';
import { connect } from '../src/index';
import { closeServers, scriptedServer } from './support/server';
import { speech } from './support/signal';

afterEach(closeServers);

const fixture = new URL('../../protocol/test/fixtures/protocol/messages.json', import.meta.url);
const recorded = JSON.parse(readFileSync(fixture, 'utf8')).python_server as { frames_sent: number; messages: string[] };

/** The recording has a stand-in for Opus: "PG" and the number of samples. This puts real pages in their place. */
async function withRealAudio(messages: string[]): Promise<Uint8Array[]> {
  const encoder = await OggOpusEncoder.create();
  const headers = [encoder.header()];
  const real = messages.map((hex) => {
    const bytes = Buffer.from(hex, 'hex');
    if (bytes[0] !== 1) return new Uint8Array(bytes);
    expect(bytes.subarray(1, 3).toString()).toBe('PG');
    const pages = encoder.encode(speech(bytes.readUInt16LE(3) / 24_000));
    return encodeMessage({ type: 'audio', data: Buffer.concat([...headers.splice(0), ...pages]) });
  });
  encoder.free();
  return real;
}

it('understands a recorded session of Kyutai’s Python server', async () => {
  const [handshake, ...rest] = (await withRealAudio(recorded.messages)) as [Uint8Array, ...Uint8Array[]];
  const server = await scriptedServer(async (peer) => {
    peer.send(handshake);
    await peer.next();
    peer.send(...rest);
    peer.socket.close(1000);
  });
  const session = await connect(server.url);
  const order: string[] = [];
  let samples = 0;
  let text = '';
  session.on('audio', (event) => {
    expect(event.time).toBeCloseTo(samples / 24_000);
    samples += event.pcm.length;
    order.push('audio');
  });
  session.on('text', (event) => {
    expect(event.time).toBeCloseTo(samples / 24_000);
    text += event.text;
    order.push('text');
  });
  const closed = new Promise((resolve) => session.once('closed', resolve));
  session.sendSilence(recorded.frames_sent * 80);
  expect(await closed).toEqual({ code: 1000, reason: '', clean: true });
  // The first frame fills the model's delay; text follows its audio.
  expect(order).toEqual(Array.from({ length: 2 * (recorded.frames_sent - 1) }, (_, i) => (i % 2 ? 'text' : 'audio')));
  expect(samples).toBe(1920 * (recorded.frames_sent - 1));
  expect(text).toBe('=?\x117j]\x17s\x14]\r</s>.');
  expect(session.metrics).toMatchObject({ audioMessages: 13, textMessages: 13, lostPackets: 0, messagesReceived: 27 });
});

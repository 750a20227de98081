import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { OggOpusEncoder } from '@moshi/opus';
import { encodeMessage, type Message } from '@moshi/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { connect, MoshiError } from '../src/index';
import { FakeTransport } from './support/fake-transport';
import { lcg, speech } from './support/signal';

const sessions: FakeTransport[] = [];
afterEach(() => {
  for (const transport of sessions.splice(0)) transport.hangUp();
});

/** Messages of a server gone mad: good ones, cut ones, bent ones, and noise. */
function* madness(random: () => number, pages: Uint8Array[], count: number): Generator<Uint8Array | string> {
  const int = (limit: number) => Math.floor(random() * limit);
  const noise = (length: number) => Uint8Array.from({ length }, () => int(256));
  const good = (): Uint8Array => {
    const messages: Message[] = [
      { type: 'audio', data: pages[int(pages.length)]! },
      { type: 'text', text: ['<0xF0>', '<0x', '> <', ' word', '\u{1F600}', '<0x80>'][int(6)]! },
      { type: 'metadata', data: [null, 1, { extensions: 5 }, { extensions: [1, 'text'] }, 'x'][int(5)] },
      {
        type: 'event',
        name: ['waiting', 'restarted', ''][int(3)]!,
        data: [undefined, null, { position: 'x' }, 7][int(4)],
      },
      { type: 'error', message: 'x'.repeat(int(100)) },
      { type: 'handshake' },
      { type: 'coloredText', color: 1, text: 'x' },
      { type: 'codes', codes: new Uint32Array(int(9)) },
      { type: 'unknown', id: 200, data: noise(int(20)) },
    ];
    return encodeMessage(messages[int(messages.length)]!);
  };
  for (let i = 0; i < count; i++) {
    const bytes = good();
    const kind = int(6);
    if (kind === 0) yield noise(int(200));
    else if (kind === 1) yield bytes.slice(0, int(bytes.length + 1));
    else if (kind === 2) {
      for (let bends = 1 + int(4); bends > 0; bends--) bytes[int(bytes.length)]! ^= 1 << int(8);
      yield bytes;
    } else if (kind === 3 && int(10) === 0) yield 'a text frame';
    else yield bytes;
  }
}

const somePages = async () => {
  const encoder = await OggOpusEncoder.create({ frameMs: 20, packetsPerPage: 3 });
  const pages = [encoder.header(), ...encoder.encode(speech(1))];
  encoder.free();
  return pages;
};

describe('a server gone mad', () => {
  it.each([1, 2, 3, 4])('cannot break a session (seed %i)', async (seed) => {
    const transport = new FakeTransport();
    sessions.push(transport);
    const connecting = connect('fake', { transport });
    transport.shakeHands();
    const session = await connecting;
    const errors: MoshiError[] = [];
    session.on('error', (error) => errors.push(error));
    let samples = 0;
    session.on('audio', ({ pcm }) => {
      samples += pcm.length;
      expect(pcm.every(Number.isFinite)).toBe(true);
    });
    await new Promise((resolve) => setTimeout(resolve, 0));
    const quiet = vi.spyOn(console, 'error');
    for (const bytes of madness(lcg(seed), await somePages(), 3000)) transport.receiveRaw(bytes);
    expect(quiet).not.toHaveBeenCalled();
    expect(session.state).toEqual({ status: 'ready' });
    expect(samples).toBeGreaterThan(0);
    expect(errors.length).toBeGreaterThan(100);
    expect(new Set(errors.map((error) => error.code))).toEqual(new Set(['malformed', 'server']));
    let text = '';
    session.on('text', (event) => {
      text += event.text;
    });
    transport.receive({ type: 'text', text: 'sane again' });
    expect(text).toMatch(/sane again$/);
  });

  it.each([5, 6, 7, 8])('cannot break connecting (seed %i)', async (seed) => {
    const transport = new FakeTransport();
    sessions.push(transport);
    const connecting = connect('fake', { transport });
    transport.accept();
    const pages = await somePages();
    for (const bytes of madness(lcg(seed), pages, 50)) if (bytes[0] !== 0) transport.receiveRaw(bytes);
    transport.receive({ type: 'handshake' });
    expect((await connecting).state.status).toBe('ready');
  });
});

describe('a server that breaks the WebSocket rules', () => {
  it.each([
    ['noise', (random: () => number) => Buffer.from(Array.from({ length: 500 }, () => Math.floor(random() * 256)))],
    ['a message beyond all measure', () => Buffer.from([0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0])],
    ['a cut frame', () => Buffer.from([0x82, 50, 1, 2, 3])],
  ])('with %s ends the session with an error', async (_, garbage) => {
    const http = createServer();
    http.on('upgrade', (request, socket: Socket) => {
      const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash('sha1').update(key).digest('base64');
      const reply = [
        'HTTP/1.1 101 Yes',
        'Upgrade: websocket',
        'Connection: Upgrade',
        `Sec-WebSocket-Accept: ${accept}`,
      ];
      socket.on('error', () => {});
      socket.write(`${reply.join('\r\n')}\r\n\r\n`);
      socket.write(Buffer.from([0x82, 1, 0]));
      socket.end(garbage(lcg(9)));
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const session = await connect(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`, { reconnect: false });
    const closed = await new Promise((resolve) => session.once('closed', resolve));
    http.close();
    expect(closed).toMatchObject({ error: { code: 'closed' } });
    expect(session.state).toMatchObject({ status: 'closed', error: expect.any(MoshiError) });
  });
});

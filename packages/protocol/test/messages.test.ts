import { describe, expect, it } from 'vitest';
import {
  decodeMessage,
  encodeMessage,
  type Message,
  MessageType,
  ProtocolError,
  type ProtocolErrorCode,
} from '../src/index';
import { fromHex, Random, toHex, utf8 } from './helpers';

function codeOf(run: () => unknown): ProtocolErrorCode {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolError);
    expect((error as ProtocolError).message).not.toContain('\n');
    return (error as ProtocolError).code;
  }
  throw new Error('nothing was thrown');
}

const cases: [string, Message][] = [
  ['00', { type: 'handshake' }],
  ['000000000000000000', { type: 'handshake', protocolVersion: 0, modelVersion: 0 }],
  ['0001000000feffffff', { type: 'handshake', protocolVersion: 1, modelVersion: 0xfffffffe }],
  ['01', { type: 'audio', data: new Uint8Array(0) }],
  ['014f676753', { type: 'audio', data: utf8('OggS') }],
  ['02', { type: 'text', text: '' }],
  ['0220c3a9f09f9880', { type: 'text', text: ' é😀' }],
  ['02efbbbf61', { type: 'text', text: '\ufeffa' }],
  ['0300', { type: 'control', action: 'start' }],
  ['0301', { type: 'control', action: 'endTurn' }],
  ['0302', { type: 'control', action: 'pause' }],
  ['0303', { type: 'control', action: 'restart' }],
  ['047b2261223a5b312c6e756c6c5d7d', { type: 'metadata', data: { a: [1, null] } }],
  ['046e756c6c', { type: 'metadata', data: null }],
  ['05626164', { type: 'error', message: 'bad' }],
  ['06', { type: 'ping' }],
  ['0703686579', { type: 'coloredText', color: 3, text: 'hey' }],
  ['07ff', { type: 'coloredText', color: 255, text: '' }],
  ['08ff00', { type: 'image', data: Uint8Array.of(255, 0) }],
  ['09', { type: 'codes', codes: new Uint32Array(0) }],
  ['0901000000fffffffe', { type: 'codes', codes: Uint32Array.of(1, 0xfeffffff) }],
  ['207b226e616d65223a2271227d', { type: 'event', name: 'q' }],
  ['207b226e616d65223a2271222c2264617461223a317d', { type: 'event', name: 'q', data: 1 }],
  ['0a', { type: 'unknown', id: 10, data: new Uint8Array(0) }],
  ['ff0102', { type: 'unknown', id: 255, data: Uint8Array.of(1, 2) }],
];

describe('messages', () => {
  it.each(cases)('%s is written and read', (hex, message) => {
    expect(toHex(encodeMessage(message))).toBe(hex);
    expect(decodeMessage(fromHex(hex))).toEqual(message);
  });

  it('covers every type of the table', () => {
    const types = new Set(cases.map(([, message]) => message.type));
    for (const type of Object.keys(MessageType)) expect(types).toContain(type);
  });

  it('takes any handshake for one: two bytes of the TypeScript client, odd lengths, more than eight', () => {
    expect(decodeMessage(fromHex('000102'))).toEqual({ type: 'handshake', protocolVersion: 1, modelVersion: 2 });
    expect(decodeMessage(fromHex('0001020304'))).toEqual({ type: 'handshake' });
    expect(decodeMessage(fromHex('00010000000200000009'))).toEqual({
      type: 'handshake',
      protocolVersion: 1,
      modelVersion: 2,
    });
  });

  it('writes both versions when one is given', () => {
    expect(toHex(encodeMessage({ type: 'handshake', modelVersion: 7 }))).toBe('000000000007000000');
  });

  it('reads from the middle of a buffer, and out of a Node Buffer, without copying', () => {
    const buffer = Buffer.from('ffff0901000000', 'hex');
    expect(decodeMessage(buffer.subarray(2))).toEqual({ type: 'codes', codes: Uint32Array.of(1) });
    const audio = decodeMessage(Buffer.from('01aabb', 'hex'));
    expect(audio).toEqual({ type: 'audio', data: Uint8Array.of(0xaa, 0xbb) });
    const bytes = Uint8Array.of(1, 5);
    const view = decodeMessage(bytes);
    bytes[1] = 6;
    expect(view).toEqual({ type: 'audio', data: Uint8Array.of(6) });
  });

  it('replaces broken UTF-8', () => {
    expect(decodeMessage(fromHex('0268ff69'))).toEqual({ type: 'text', text: 'h\ufffdi' });
  });

  it('refuses what cannot be read', () => {
    expect(codeOf(() => decodeMessage(new Uint8Array(0)))).toBe('empty');
    const bad = [
      '03',
      '0304',
      '04',
      '047b',
      '07',
      '0901',
      '090100000002',
      '20',
      '207b7d',
      '206e756c6c',
      '207b226e616d65223a317d',
    ];
    for (const hex of bad) expect(codeOf(() => decodeMessage(fromHex(hex)))).toBe('malformed');
  });

  it('refuses what cannot be written', () => {
    const loop: { self?: unknown } = {};
    loop.self = loop;
    const bad: Message[] = [
      { type: 'handshake', protocolVersion: -1 },
      { type: 'handshake', modelVersion: 2 ** 32 },
      { type: 'coloredText', color: 256, text: '' },
      { type: 'coloredText', color: 1.5, text: '' },
      { type: 'control', action: 'stop' as 'start' },
      { type: 'metadata', data: undefined },
      { type: 'metadata', data: loop },
      { type: 'event', name: 'x', data: 1n },
      { type: 'unknown', id: 256, data: new Uint8Array(0) },
      { type: 'unknown', id: MessageType.audio, data: new Uint8Array(0) },
      { type: 'nothing' } as unknown as Message,
    ];
    for (const message of bad) expect(codeOf(() => encodeMessage(message))).toBe('unencodable');
  });

  it('survives random bytes: each message reads, reads back the same, or is refused', () => {
    const random = new Random(7);
    for (let i = 0; i < 20_000; i++) {
      const bytes = random.bytes(1 + random.below(24));
      if (i % 2) bytes[0] = random.below(0x22);
      let message: Message;
      try {
        message = decodeMessage(bytes);
      } catch (error) {
        expect((error as ProtocolError).code).toBe('malformed');
        continue;
      }
      expect(decodeMessage(encodeMessage(message))).toEqual(message);
    }
  });
});

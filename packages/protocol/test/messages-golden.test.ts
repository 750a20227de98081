import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeMessage, type Message, TextAssembler } from '../src/index';
import { fixtureJson, fromHex, toHex } from './helpers';

interface TypeScriptMessage {
  type?: string;
  version?: number;
  model?: number;
  data?: unknown;
  color?: number;
  action?: string;
  error?: string;
}

const golden = fixtureJson<{
  frames: { name: string; hex: string }[];
  typescript: {
    encode: { message: TypeScriptMessage; hex: string }[];
    decode: { hex: string; message: TypeScriptMessage }[];
  };
  python_server: { messages: string[] };
}>('protocol/messages.json');

/** The official client's message object as ours. */
function ours(message: TypeScriptMessage): Message {
  const text = message.data as string;
  switch (message.type) {
    case 'handshake':
      return { type: 'handshake' };
    case 'audio': {
      const data = message.data as number[] | { hex: string };
      return { type: 'audio', data: Array.isArray(data) ? Uint8Array.from(data) : fromHex(data.hex) };
    }
    case 'text':
      return { type: 'text', text };
    case 'coloredtext':
      return { type: 'coloredText', color: message.color!, text };
    case 'control':
      return { type: 'control', action: message.action as 'start' };
    case 'metadata':
      return { type: 'metadata', data: message.data };
    case 'error':
      return { type: 'error', message: text };
    case 'ping':
      return { type: 'ping' };
    default:
      throw new Error(`unexpected ${JSON.stringify(message)}`);
  }
}

describe('the published frames', () => {
  const expected: Record<string, Message> = {
    'handshake, Python servers': { type: 'handshake' },
    'handshake, Rust servers': { type: 'handshake', protocolVersion: 0, modelVersion: 0 },
    'handshake, TypeScript encoder': { type: 'handshake', protocolVersion: 0, modelVersion: 0 },
    audio: { type: 'audio', data: fromHex('4f6767530002') },
    text: { type: 'text', text: ' hello' },
    'control start': { type: 'control', action: 'start' },
    'control endTurn': { type: 'control', action: 'endTurn' },
    'control pause': { type: 'control', action: 'pause' },
    'control restart': { type: 'control', action: 'restart' },
    metadata: { type: 'metadata', data: { k: 1 } },
    error: { type: 'error', message: 'too many users' },
    ping: { type: 'ping' },
    'colored text (Rust server type table and TypeScript decoder)': { type: 'coloredText', color: 3, text: 'hey' },
    'codes (Rust server)': { type: 'codes', codes: Uint32Array.of(1, 2, 300, 2047) },
  };

  it.each(golden.frames)('$name', ({ name, hex }) => {
    expect(expected).toHaveProperty([name]);
    expect(decodeMessage(fromHex(hex))).toEqual(expected[name]);
    // The three byte handshake is read, but no server reads one, so it is never written.
    if (name !== 'handshake, TypeScript encoder') expect(toHex(encodeMessage(expected[name]!))).toBe(hex);
  });
});

describe("the official web client's encoder", () => {
  const faults: Record<string, string> = {
    // Written with one byte per version; the specification and the Rust servers have four. Ours has none to say.
    handshake: '00',
    // Written as type 2 without its colour, though its own decoder reads type 7: the colour would be spoken text.
    coloredtext: '0703686579',
  };

  it.each(golden.typescript.encode)('$hex', ({ message, hex }) => {
    expect(toHex(encodeMessage(ours(message)))).toBe(faults[message.type!] ?? hex);
  });
});

describe("the official web client's decoder", () => {
  const types = { '0801': 8, '09': 9, ff: 255 } as const;

  it.each(golden.typescript.decode)('$hex', ({ hex, message }) => {
    const bytes = fromHex(hex);
    if (message.error === undefined) {
      const got = decodeMessage(bytes);
      // Theirs calls every handshake version 0; ours tells "none sent" from "0 sent".
      expect(got.type === 'handshake' ? { type: got.type } : got).toEqual(ours(message));
    } else if (hex in types) {
      // Theirs throws on a type it does not know, which ends the session on a harmless message; ours keeps it.
      const known = { '0801': 'image', '09': 'codes', ff: 'unknown' }[hex as keyof typeof types];
      expect(decodeMessage(bytes).type).toBe(known);
      expect(encodeMessage(decodeMessage(bytes))).toEqual(bytes);
    } else {
      expect(() => decodeMessage(bytes)).toThrow();
    }
  });
});

describe('a session of the Python server', () => {
  const messages = golden.python_server.messages.map((hex) => decodeMessage(fromHex(hex)));

  it('reads as handshake, then a text after its audio', () => {
    expect(messages[0]).toEqual({ type: 'handshake' });
    const types = messages.slice(1).map((message) => message.type);
    expect(types).toEqual(Array.from({ length: 26 }, (_, i) => (i % 2 ? 'text' : 'audio')));
  });

  it('writes back to the same bytes', () => {
    expect(messages.map((message) => toHex(encodeMessage(message)))).toEqual(golden.python_server.messages);
  });

  it('gives clean text: bytes that are no UTF-8 replaced, the others whole', () => {
    const pieces = messages.flatMap((message) => (message.type === 'text' ? [message.text] : []));
    expect(pieces.slice(0, 3)).toEqual(['<0x3D>', '<0x3F>', '<0x11>']);
    const assembler = new TextAssembler();
    const text = pieces.map((piece) => assembler.push(piece)).join('') + assembler.flush();
    expect(text).toBe('=?\x117j]\x17s\x14]\r</s>.');
  });
});

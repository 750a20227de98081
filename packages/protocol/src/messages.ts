import { ProtocolError } from './errors';

/** First byte of every WebSocket message of `/api/chat`. `event` is this project's own, all others are published. */
export const MessageType = {
  handshake: 0,
  audio: 1,
  text: 2,
  control: 3,
  metadata: 4,
  error: 5,
  ping: 6,
  coloredText: 7,
  image: 8,
  codes: 9,
  event: 0x20,
} as const;

/** The four control actions, in the order of their byte on the wire (0 to 3). */
export type ControlAction = 'start' | 'endTurn' | 'pause' | 'restart';

const controlActions: readonly ControlAction[] = ['start', 'endTurn', 'pause', 'restart'];

/** The server is ready. Versions are absent when the server sent none, as the Python servers do. */
export interface HandshakeMessage {
  type: 'handshake';
  /** u32; 0 everywhere so far. */
  protocolVersion?: number;
  /** u32; 0 everywhere so far. */
  modelVersion?: number;
}
/** Bytes of the Ogg Opus stream, in both directions. */
export interface AudioMessage {
  type: 'audio';
  data: Uint8Array;
}
/** A piece of text, as the model says it; a leading space starts a word. May be empty. */
export interface TextMessage {
  type: 'text';
  text: string;
}
/** Ask the server to start, end the turn, pause or restart. Stock servers do not act on it. */
export interface ControlMessage {
  type: 'control';
  action: ControlAction;
}
/** Any JSON value: what the server says about itself, before the handshake. */
export interface MetadataMessage {
  type: 'metadata';
  data: unknown;
}
/** Why the server ends the session, in words. */
export interface ErrorMessage {
  type: 'error';
  message: string;
}
/** A sign of life. */
export interface PingMessage {
  type: 'ping';
}
/** Text with a colour index (0 to 255), from vision servers. */
export interface ColoredTextMessage {
  type: 'coloredText';
  color: number;
  text: string;
}
/** Reserved for image bytes. */
export interface ImageMessage {
  type: 'image';
  data: Uint8Array;
}
/** One frame's codebook tokens (u32 each). */
export interface CodesMessage {
  type: 'codes';
  codes: Uint32Array;
}
/** This project's own named event with JSON data; only for peers that asked with `extensions=1`. */
export interface EventMessage {
  type: 'event';
  name: string;
  data?: unknown;
}
/** A type this version does not know: kept as it came, so that it can be skipped or passed on. */
export interface UnknownMessage {
  type: 'unknown';
  /** The type byte, 0 to 255, none of {@link MessageType}. */
  id: number;
  data: Uint8Array;
}

/** One WebSocket binary message of `/api/chat`, told apart by `type`. */
export type Message =
  | HandshakeMessage
  | AudioMessage
  | TextMessage
  | ControlMessage
  | MetadataMessage
  | ErrorMessage
  | PingMessage
  | ColoredTextMessage
  | ImageMessage
  | CodesMessage
  | EventMessage
  | UnknownMessage;

/** What clients send. */
export type ClientMessage = AudioMessage | TextMessage | ControlMessage | EventMessage;

const encoder = new TextEncoder();
// ignoreBOM keeps a leading U+FEFF: it is text like any other here.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const knownIds: ReadonlySet<number> = new Set(Object.values(MessageType));

/** The bytes of one WebSocket message. Throws {@link ProtocolError} (`unencodable`) on a value outside its range. */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case 'handshake':
      return encodeHandshake(message);
    case 'metadata':
      return join(MessageType.metadata, encodeJson(message.data, 'metadata'));
    case 'error':
      return join(MessageType.error, encoder.encode(message.message));
    case 'ping':
      return Uint8Array.of(MessageType.ping);
    case 'coloredText':
      return encodeColoredText(message);
    case 'image':
      return join(MessageType.image, message.data);
    case 'codes':
      return encodeCodes(message.codes);
    case 'unknown':
      return encodeUnknown(message);
    default:
      return encodeClientMessage(message);
  }
}

/** As {@link encodeMessage}, for what clients send: a bundle with this alone is smaller. */
export function encodeClientMessage(message: ClientMessage): Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case 'audio':
      return join(MessageType.audio, message.data);
    case 'text':
      return join(MessageType.text, encoder.encode(message.text));
    case 'control':
      return join(MessageType.control, Uint8Array.of(controlByte(message.action)));
    case 'event':
      return join(MessageType.event, encodeJson({ name: message.name, data: message.data }, 'event data'));
    default:
      throw new ProtocolError('unencodable', `no message type ${JSON.stringify((message as Message).type)}`);
  }
}

/**
 * Reads one WebSocket message. `data` of the result is a view on `bytes`, not a copy. Broken UTF-8 becomes U+FFFD.
 * Throws {@link ProtocolError}: `empty` for no bytes, `malformed` for a payload that its type does not allow.
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const id = bytes[0];
  if (id === undefined) throw new ProtocolError('empty', 'a message of 0 bytes has no type; ignore it');
  // A plain Uint8Array, also when a Node Buffer came in.
  const payload = new Uint8Array(bytes.buffer, bytes.byteOffset + 1, bytes.length - 1);
  switch (id) {
    case MessageType.handshake:
      return decodeHandshake(payload);
    case MessageType.audio:
      return { type: 'audio', data: payload };
    case MessageType.text:
      return { type: 'text', text: decoder.decode(payload) };
    case MessageType.control:
      return decodeControl(payload);
    case MessageType.metadata:
      return { type: 'metadata', data: decodeJson(payload, 'metadata') };
    case MessageType.error:
      return { type: 'error', message: decoder.decode(payload) };
    case MessageType.ping:
      return { type: 'ping' };
    case MessageType.coloredText:
      return decodeColoredText(payload);
    case MessageType.image:
      return { type: 'image', data: payload };
    case MessageType.codes:
      return decodeCodes(payload);
    case MessageType.event:
      return decodeEvent(payload);
    default:
      return { type: 'unknown', id, data: payload };
  }
}

function join(id: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(1 + payload.length);
  bytes[0] = id;
  bytes.set(payload, 1);
  return bytes;
}

function encodeHandshake({ protocolVersion, modelVersion }: HandshakeMessage): Uint8Array<ArrayBuffer> {
  if (protocolVersion === undefined && modelVersion === undefined) return Uint8Array.of(MessageType.handshake);
  const bytes = new Uint8Array(9);
  const view = new DataView(bytes.buffer);
  view.setUint32(1, checkInteger(protocolVersion ?? 0, 0xffffffff, 'protocolVersion'), true);
  view.setUint32(5, checkInteger(modelVersion ?? 0, 0xffffffff, 'modelVersion'), true);
  return bytes;
}

// Rust servers send two u32, the TypeScript client two bytes, Python servers nothing; any handshake means ready.
function decodeHandshake(payload: Uint8Array): HandshakeMessage {
  if (payload.length >= 8) {
    const view = new DataView(payload.buffer, payload.byteOffset, 8);
    return { type: 'handshake', protocolVersion: view.getUint32(0, true), modelVersion: view.getUint32(4, true) };
  }
  if (payload.length === 2) return { type: 'handshake', protocolVersion: payload[0]!, modelVersion: payload[1]! };
  return { type: 'handshake' };
}

function controlByte(action: ControlAction): number {
  const byte = controlActions.indexOf(action);
  if (byte < 0)
    throw new ProtocolError('unencodable', `no control action "${action}"; use ${controlActions.join(', ')}`);
  return byte;
}

function decodeControl(payload: Uint8Array): ControlMessage {
  const action = controlActions[payload[0] ?? -1];
  if (action === undefined) {
    throw new ProtocolError('malformed', `control action ${payload[0] ?? 'missing'}; the known ones are 0 to 3`);
  }
  return { type: 'control', action };
}

function encodeColoredText({ color, text }: ColoredTextMessage): Uint8Array<ArrayBuffer> {
  const utf8 = encoder.encode(text);
  const bytes = new Uint8Array(2 + utf8.length);
  bytes[0] = MessageType.coloredText;
  bytes[1] = checkInteger(color, 255, 'color');
  bytes.set(utf8, 2);
  return bytes;
}

function decodeColoredText(payload: Uint8Array): ColoredTextMessage {
  const color = payload[0];
  if (color === undefined) throw new ProtocolError('malformed', 'coloured text without its colour byte');
  return { type: 'coloredText', color, text: decoder.decode(payload.subarray(1)) };
}

function encodeCodes(codes: Uint32Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(1 + 4 * codes.length);
  bytes[0] = MessageType.codes;
  const view = new DataView(bytes.buffer);
  codes.forEach((code, i) => {
    view.setUint32(1 + 4 * i, code, true);
  });
  return bytes;
}

function decodeCodes(payload: Uint8Array): CodesMessage {
  if (payload.length % 4 !== 0) {
    throw new ProtocolError('malformed', `codes of ${payload.length} bytes; every code takes 4`);
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return {
    type: 'codes',
    codes: Uint32Array.from({ length: payload.length / 4 }, (_, i) => view.getUint32(4 * i, true)),
  };
}

function decodeEvent(payload: Uint8Array): EventMessage {
  const value = decodeJson(payload, 'event');
  const name = (value as { name?: unknown } | null)?.name;
  if (typeof name !== 'string')
    throw new ProtocolError('malformed', 'event without a "name" string in its JSON object');
  const data = (value as { data?: unknown }).data;
  return data === undefined ? { type: 'event', name } : { type: 'event', name, data };
}

function encodeUnknown({ id, data }: UnknownMessage): Uint8Array<ArrayBuffer> {
  checkInteger(id, 255, 'id');
  if (knownIds.has(id)) throw new ProtocolError('unencodable', `type byte ${id} is known; use its own message type`);
  return join(id, data);
}

function encodeJson(value: unknown, what: string): Uint8Array {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (cause) {
    throw new ProtocolError(
      'unencodable',
      `${what} cannot be written as JSON: ${(cause as Error).message.split('\n')[0]}`,
      {
        cause,
      },
    );
  }
  if (json === undefined)
    throw new ProtocolError('unencodable', `${what} cannot be written as JSON; use null for nothing`);
  return encoder.encode(json);
}

function decodeJson(payload: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(decoder.decode(payload));
  } catch (cause) {
    throw new ProtocolError('malformed', `${what} of ${payload.length} bytes is not JSON`, { cause });
  }
}

function checkInteger(value: number, max: number, what: string): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new ProtocolError('unencodable', `${what} is ${value}; it must be a whole number from 0 to ${max}`);
}

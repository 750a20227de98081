import { ProtocolError } from './errors';

/** The first packet of an Ogg Opus stream (RFC 7845 §5.1). */
export interface OpusHead {
  /** 1; versions below 16 are read alike. */
  version: number;
  /** 1 to 255. */
  channels: number;
  /** Samples to leave out at the start of playback, always in 48 kHz units. */
  preSkip: number;
  /** Rate of the source in Hz, for information; 0 when unknown. */
  inputSampleRate: number;
  /** Gain to apply to the output, in 1/256 dB, signed. */
  outputGain: number;
  /** 0 for mono and stereo. */
  mappingFamily: number;
  /** How coded streams become channels; only and always with a mapping family other than 0. */
  mapping?: OpusChannelMapping;
}

/** Channel mapping table of an {@link OpusHead}. */
export interface OpusChannelMapping {
  /** Coded streams in each packet. */
  streams: number;
  /** How many of them are stereo. */
  coupled: number;
  /** One entry per channel: the decoded channel it takes, 255 for silence. */
  table: Uint8Array;
}

/** The second packet of an Ogg Opus stream (RFC 7845 §5.2). */
export interface OpusTags {
  /** Who encoded. */
  vendor: string;
  /** `NAME=value` lines. */
  comments: string[];
}

const HEAD_MAGIC = new TextEncoder().encode('OpusHead');
const TAGS_MAGIC = new TextEncoder().encode('OpusTags');
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** Whether a packet begins as the OpusHead header does. */
export function isOpusHead(data: Uint8Array): boolean {
  return startsWith(data, HEAD_MAGIC);
}

/** Whether a packet begins as the OpusTags header does. */
export function isOpusTags(data: Uint8Array): boolean {
  return startsWith(data, TAGS_MAGIC);
}

/** The OpusHead packet. Throws {@link ProtocolError} (`unencodable`) on a value outside its range. */
export function encodeOpusHead(head: OpusHead): Uint8Array {
  const { mapping } = head;
  if ((head.mappingFamily !== 0) !== (mapping !== undefined)) {
    throw new ProtocolError('unencodable', 'OpusHead has a channel mapping exactly when its mappingFamily is not 0');
  }
  const bytes = new Uint8Array(mapping ? 21 + mapping.table.length : 19);
  const view = new DataView(bytes.buffer);
  bytes.set(HEAD_MAGIC);
  bytes[8] = inRange(head.version, 0, 15, 'version');
  bytes[9] = inRange(head.channels, 1, head.mappingFamily === 0 ? 2 : 255, 'channels');
  view.setUint16(10, inRange(head.preSkip, 0, 0xffff, 'preSkip'), true);
  view.setUint32(12, inRange(head.inputSampleRate, 0, 0xffffffff, 'inputSampleRate'), true);
  view.setInt16(16, inRange(head.outputGain, -32768, 32767, 'outputGain'), true);
  bytes[18] = inRange(head.mappingFamily, 0, 255, 'mappingFamily');
  if (mapping) {
    inRange(mapping.table.length, head.channels, head.channels, 'mapping.table.length');
    bytes[19] = inRange(mapping.streams, 1, 255, 'mapping.streams');
    bytes[20] = inRange(mapping.coupled, 0, mapping.streams, 'mapping.coupled');
    bytes.set(mapping.table, 21);
  }
  return bytes;
}

/** Reads an OpusHead packet. Throws {@link ProtocolError} (`malformed`) when it is too short or says the impossible. */
export function decodeOpusHead(data: Uint8Array): OpusHead {
  if (!isOpusHead(data)) throw malformed('no OpusHead at the start of the packet');
  if (data.length < 19) throw malformed(`OpusHead of ${data.length} bytes; it has at least 19`);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const head: OpusHead = {
    version: data[8]!,
    channels: data[9]!,
    preSkip: view.getUint16(10, true),
    inputSampleRate: view.getUint32(12, true),
    outputGain: view.getInt16(16, true),
    mappingFamily: data[18]!,
  };
  if (head.version > 15) throw malformed(`OpusHead version ${head.version}; versions up to 15 can be read`);
  if (head.channels === 0) throw malformed('OpusHead with 0 channels');
  if (head.mappingFamily === 0) {
    if (head.channels > 2) throw malformed(`OpusHead with ${head.channels} channels but mapping family 0 (1 or 2)`);
    return head;
  }
  if (data.length < 21 + head.channels) throw malformed('OpusHead ends inside its channel mapping');
  const [streams, coupled] = [data[19]!, data[20]!];
  if (streams === 0 || coupled > streams || streams + coupled > 255) {
    throw malformed(`OpusHead with ${streams} streams, ${coupled} of them stereo`);
  }
  const table = data.slice(21, 21 + head.channels);
  if (table.some((entry) => entry !== 255 && entry >= streams + coupled)) {
    throw malformed('OpusHead maps a channel to a stream that is not there');
  }
  return { ...head, mapping: { streams, coupled, table } };
}

/** The OpusTags packet. */
export function encodeOpusTags(tags: { vendor: string; comments?: readonly string[] }): Uint8Array {
  const vendor = encoder.encode(tags.vendor);
  const comments = (tags.comments ?? []).map((comment) => encoder.encode(comment));
  const bytes = new Uint8Array(comments.reduce((sum, comment) => sum + 4 + comment.length, 16 + vendor.length));
  const view = new DataView(bytes.buffer);
  bytes.set(TAGS_MAGIC);
  let at = 8;
  const write = (text: Uint8Array) => {
    view.setUint32(at, text.length, true);
    bytes.set(text, at + 4);
    at += 4 + text.length;
  };
  write(vendor);
  view.setUint32(at, comments.length, true);
  at += 4;
  comments.forEach(write);
  return bytes;
}

/**
 * Reads an OpusTags packet; bytes after the last comment are padding. Throws {@link ProtocolError} (`malformed`) when
 * a length points past its end.
 */
export function decodeOpusTags(data: Uint8Array): OpusTags {
  if (!isOpusTags(data)) throw malformed('no OpusTags at the start of the packet');
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  let at = 8;
  const readLength = () => {
    if (at + 4 > data.length) throw malformed('OpusTags end inside a length');
    at += 4;
    return view.getUint32(at - 4, true);
  };
  const readText = () => {
    const length = readLength();
    if (length > data.length - at) throw malformed(`OpusTags with a text of ${length} bytes, ${data.length - at} left`);
    at += length;
    return decoder.decode(data.subarray(at - length, at));
  };
  const vendor = readText();
  const count = readLength();
  if (count > (data.length - at) / 4) throw malformed(`OpusTags with ${count} comments in ${data.length - at} bytes`);
  return { vendor, comments: Array.from({ length: count }, readText) };
}

function startsWith(data: Uint8Array, magic: Uint8Array): boolean {
  return data.length >= magic.length && magic.every((byte, i) => data[i] === byte);
}

function malformed(message: string): ProtocolError {
  return new ProtocolError('malformed', message);
}

function inRange(value: number, min: number, max: number, what: string): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  const allowed = min === max ? `${min}` : `a whole number from ${min} to ${max}`;
  throw new ProtocolError('unencodable', `OpusHead ${what} is ${value}; it must be ${allowed}`);
}

/** Milliseconds × 2 of one frame, by the configuration number's place in its mode (RFC 6716 table 2). */
const silkHalfMs = [20, 40, 80, 120];
const hybridHalfMs = [20, 40];
const celtHalfMs = [5, 10, 20, 40];
const MAX_HALF_MS = 240;
const MAX_FRAME_BYTES = 1275;

/**
 * Samples that one Opus packet decodes to at `sampleRate` (8000, 12000, 16000, 24000 or 48000), read from its first
 * bytes. 0 for a packet whose framing is not valid (RFC 6716 §3.4), which no decoder takes.
 */
export function opusPacketSamples(packet: Uint8Array, sampleRate = 24000): number {
  const toc = packet[0];
  if (toc === undefined) return 0;
  const frames = countFrames(packet, toc & 3);
  const halfMs = frames * frameHalfMs(toc >> 3);
  return halfMs > MAX_HALF_MS ? 0 : (halfMs * sampleRate) / 2000;
}

function frameHalfMs(config: number): number {
  if (config < 12) return silkHalfMs[config & 3]!;
  if (config < 16) return hybridHalfMs[config & 1]!;
  return celtHalfMs[config & 3]!;
}

/** Frames in the packet, 0 when their sizes do not add up. */
function countFrames(packet: Uint8Array, code: number): number {
  const body = packet.length - 1;
  if (code === 0) return body <= MAX_FRAME_BYTES ? 1 : 0;
  if (code === 1) return body % 2 === 0 && body / 2 <= MAX_FRAME_BYTES ? 2 : 0;
  if (code === 2) {
    const first = readSize(packet, 1);
    if (first === undefined) return 0;
    const second = packet.length - first.next - first.size;
    return second >= 0 && second <= MAX_FRAME_BYTES ? 2 : 0;
  }
  return countManyFrames(packet);
}

// Code 3: a count byte (variable sizes, padding, count), the padding's length, then the sizes of all but the last.
function countManyFrames(packet: Uint8Array): number {
  const header = packet[1];
  if (header === undefined) return 0;
  const frames = header & 63;
  if (frames === 0) return 0;
  let at = 2;
  let end = packet.length;
  if (header & 0x40) {
    for (let byte = 255; byte === 255; at++) {
      const next = packet[at];
      if (next === undefined) return 0;
      byte = next;
      end -= byte === 255 ? 254 : byte;
    }
  }
  if ((header & 0x80) === 0) {
    const bytes = end - at;
    return bytes >= 0 && bytes % frames === 0 && bytes / frames <= MAX_FRAME_BYTES ? frames : 0;
  }
  let used = 0;
  for (let i = 1; i < frames; i++) {
    const size = readSize(packet, at);
    if (size === undefined) return 0;
    at = size.next;
    used += size.size;
  }
  const last = end - at - used;
  return last >= 0 && last <= MAX_FRAME_BYTES ? frames : 0;
}

/** A frame size of one or two bytes. */
function readSize(packet: Uint8Array, at: number): { size: number; next: number } | undefined {
  const first = packet[at];
  if (first === undefined) return undefined;
  if (first < 252) return { size: first, next: at + 1 };
  const second = packet[at + 1];
  return second === undefined ? undefined : { size: first + 4 * second, next: at + 2 };
}

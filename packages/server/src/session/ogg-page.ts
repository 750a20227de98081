import { type OggPage, oggCrc } from '@moshi/protocol';

/** The bytes of a page as it was read, checksum included. */
export function oggPageBytes(page: OggPage): Uint8Array {
  const { segments, body } = page;
  const bytes = new Uint8Array(27 + segments.length + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x4f, 0x67, 0x67, 0x53, 0, (page.continued ? 1 : 0) | (page.bos ? 2 : 0) | (page.eos ? 4 : 0)]);
  view.setBigInt64(6, page.granule, true);
  view.setUint32(14, page.serial, true);
  view.setUint32(18, page.sequence, true);
  view.setUint8(26, segments.length);
  bytes.set(segments, 27);
  bytes.set(body, 27 + segments.length);
  view.setUint32(22, oggCrc(bytes), true);
  return bytes;
}

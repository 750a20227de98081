// Ogg's CRC: polynomial 0x04c11db7, most significant bit first, start 0, no final inversion.
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

/**
 * The checksum of an Ogg page as an unsigned 32-bit number, its CRC field (bytes 22 to 25) being zero.
 * `seed` continues from the checksum of the bytes before.
 */
export function oggCrc(bytes: Uint8Array, seed = 0): number {
  let crc = seed;
  for (let i = 0; i < bytes.length; i++) crc = (crc << 8) ^ table[(crc >>> 24) ^ bytes[i]!]!;
  return crc >>> 0;
}

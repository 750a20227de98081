import { gzipSync } from 'node:zlib';

/** One entry to be written; everything but the name may be left out. */
export interface TarPart {
  readonly name: string;
  readonly content?: string | Uint8Array;
  /** Type flag, '0' for a file. */
  readonly type?: string;
  readonly link?: string;
  readonly prefix?: string;
  /** Changes the finished header, before its checksum. */
  readonly change?: (header: Buffer) => void;
  /** Written in place of the right checksum. */
  readonly checksum?: number;
  /** Written in place of the content's size. */
  readonly size?: number;
}

/** The 512-byte blocks of one entry. */
export function tarEntry({
  name,
  content = '',
  type = '0',
  link = '',
  prefix = '',
  change,
  checksum,
  size,
}: TarPart): Buffer {
  const body = Buffer.from(content as Uint8Array);
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${(size ?? body.length).toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write(type, 156);
  header.write(link, 157, 100);
  header.write('ustar\x0000', 257, 'latin1');
  header.write(prefix, 345, 155);
  change?.(header);
  header.fill(0x20, 148, 156);
  const sum = checksum ?? header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

/** A whole archive, not compressed. */
export function tar(parts: readonly (TarPart | Buffer)[], end = 1024): Buffer {
  return Buffer.concat([...parts.map((part) => (Buffer.isBuffer(part) ? part : tarEntry(part))), Buffer.alloc(end)]);
}

/** A whole archive, compressed. */
export function tgz(parts: readonly (TarPart | Buffer)[], end = 1024): Buffer {
  return gzipSync(tar(parts, end));
}

/** An entry of pax records for the entry after it. */
export function pax(records: Record<string, string>, type = 'x'): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (String(length).length + Buffer.byteLength(rest) !== length) length++;
    return `${length}${rest}`;
  });
  return tarEntry({ name: 'PaxHeader', type, content: lines.join('') });
}

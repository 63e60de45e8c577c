import { crc32, deflateRawSync } from 'node:zlib';

/** What goes into an archive; `claimed` and `checksum` override the size and the CRC-32 that the entry says it has. */
export interface ZipEntry {
  name: string;
  data: Buffer | string;
  claimed?: number;
  checksum?: number;
  deflate?: boolean;
}

/** A zip archive of entries with any names whatever. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, claimed, checksum, deflate = false } of entries) {
    const plain = Buffer.from(data);
    const content = deflate ? deflateRawSync(plain) : plain;
    const label = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // version needed
    common.writeUInt16LE(deflate ? 8 : 0, 4);
    common.writeUInt32LE(checksum ?? crc32(plain), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(claimed ?? plain.length, 18);
    common.writeUInt16LE(label.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, label, content]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00'), common, tail, label]));
    parts.push(local);
    offset += local.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(listing.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, listing, Buffer.from('PK\x05\x06'), end]);
}

import { Header, type HeaderData } from 'tar';

const BLOCK = 512;

/** A file in a tar: its header, for which type and size follow from the content unless told, and what it holds. */
export function tarMember(path: string, content: string | Uint8Array = '', header: HeaderData = {}): Buffer {
  const bytes = Buffer.from(content);
  const block = Buffer.alloc(BLOCK);
  new Header({ path, mode: 0o644, type: 'File', size: bytes.length, mtime: new Date(0), ...header }).encode(block);
  return Buffer.concat([block, padded(bytes)]);
}

/** A pax header, before the member that it is about. */
export function paxHeader(
  records: Record<string, string>,
  type: 'ExtendedHeader' | 'GlobalExtendedHeader' = 'ExtendedHeader',
): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = rest.length;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return `${length}${rest}`;
  });
  return tarMember('PaxHeader', lines.join(''), { type });
}

/** A whole tar of members. */
export function tarOf(...members: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...members, Buffer.alloc(2 * BLOCK)]);
}

/** Writes a header's checksum anew after its bytes were changed. */
export function withChecksum(member: Buffer): Buffer {
  member.fill(0x20, 148, 156);
  const sum = member.subarray(0, BLOCK).reduce((total, byte) => total + byte, 0);
  member.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return member;
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

/** A picture and its caption. */
export const tarSample = (key: string, caption = `caption of ${key}`) => [
  tarMember(`${key}.jpg`, `picture ${key}`),
  tarMember(`${key}.txt`, caption),
];

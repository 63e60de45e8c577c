import type { Failure, FileReader } from '../mapped-pages.ts';
import { quote } from '../tensor-file.ts';

/** Where an entry's bytes lie in the file. */
export interface ZipEntry {
  readonly position: number;
  readonly bytes: number;
  /** Why they cannot be used as they lie there: they are packed or encrypted. */
  readonly unusable: string | undefined;
}

const END = 0x06054b50;
const END_BYTES = 22;
const END64 = 0x06064b50;
const END64_BYTES = 56;
const LOCATOR = 0x07064b50;
const LOCATOR_BYTES = 20;
const RECORD = 0x02014b50;
const RECORD_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const IN_EXTRA = 0xffffffff;
const ZIP64_EXTRA = 1;
const ENCRYPTED = 1;

/** The longest directory that is read; an entry takes about 60 bytes of it. */
const MAX_DIRECTORY_BYTES = 2 ** 26;

interface Directory {
  readonly position: number;
  readonly bytes: number;
  readonly count: number;
}

interface Listed extends ZipEntry {
  readonly name: string;
  /** Of its local header. */
  readonly start: number;
}

/**
 * The entries of a zip archive whose bytes are to be used where they lie: none overlaps another, and the directory is right behind them.
 * Nothing is unpacked, so a small file cannot stand for much. Checksums are not looked at, which would read the whole file.
 */
export function readZip(reader: FileReader, fail: Failure): ReadonlyMap<string, ZipEntry> {
  const directory = findDirectory(reader, fail);
  const entries = listEntries(reader, directory, fail);
  const sorted = [...entries.values()].sort((a, b) => a.start - b.start);
  for (const [i, { name, position, bytes }] of sorted.entries()) {
    const next = sorted[i + 1]?.start ?? directory.position;
    if (position + bytes > next) throw fail(`the entry ${quote(name)} of ${bytes} bytes runs into what is at byte ${next}`);
  }
  return entries;
}

function findDirectory(reader: FileReader, fail: Failure): Directory {
  const { size } = reader;
  const start = Math.max(0, size - END_BYTES - 0xffff);
  const tail = reader.read(start, size - start);
  let at = tail.length - END_BYTES;
  // The record ends the file, but for a comment whose length it gives.
  while (at >= 0 && !(tail.readUInt32LE(at) === END && at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length)) at--;
  if (at < 0) throw fail('the directory at the end is missing: the file is damaged or was cut off');
  const end = { count: tail.readUInt16LE(at + 10), bytes: tail.readUInt32LE(at + 12), position: tail.readUInt32LE(at + 16) };
  const split = tail.readUInt16LE(at + 4) !== 0 || tail.readUInt16LE(at + 8) !== end.count;
  const end64 = at >= LOCATOR_BYTES && tail.readUInt32LE(at - LOCATOR_BYTES) === LOCATOR;
  const found = end64 ? findDirectory64(reader, start + at - LOCATOR_BYTES, fail) : { ...end, end: start + at };
  const agrees = (['count', 'bytes', 'position'] as const).every(
    (field) => end[field] === found[field] || end[field] === (field === 'count' ? 0xffff : IN_EXTRA),
  );
  if (split || !agrees || found.position + found.bytes !== found.end || found.bytes > MAX_DIRECTORY_BYTES) {
    throw fail(`expected one directory of at most ${MAX_DIRECTORY_BYTES} bytes right before its end record`);
  }
  return found;
}

function findDirectory64(reader: FileReader, locator: number, fail: Failure): Directory & { readonly end: number } {
  const position = wide(reader.read(locator, LOCATOR_BYTES), 8, fail);
  if (position > locator - END64_BYTES) throw fail('expected the ZIP64 end record before its locator');
  const record = reader.read(position, END64_BYTES);
  if (record.readUInt32LE(0) !== END64 || position + 12 + wide(record, 4, fail) !== locator) {
    throw fail('expected the ZIP64 end record where its locator says');
  }
  return { count: wide(record, 32, fail), bytes: wide(record, 40, fail), position: wide(record, 48, fail), end: position };
}

function listEntries(reader: FileReader, directory: Directory, fail: Failure): Map<string, Listed> {
  const records = reader.read(directory.position, directory.bytes);
  const entries = new Map<string, Listed>();
  let at = 0;
  while (at < records.length) {
    if (at + RECORD_BYTES > records.length || records.readUInt32LE(at) !== RECORD)
      throw fail(`the directory is damaged at byte ${at}`);
    const [nameBytes, extraBytes] = [records.readUInt16LE(at + 28), records.readUInt16LE(at + 30)];
    const end = at + RECORD_BYTES + nameBytes + extraBytes + records.readUInt16LE(at + 32);
    if (end > records.length) throw fail(`the directory is damaged at byte ${at}`);
    const record = records.subarray(at, end);
    const entry = readRecord(reader, record, nameBytes, extraBytes, fail);
    if (entries.has(entry.name)) throw fail(`the entry ${quote(entry.name)} is there twice`);
    entries.set(entry.name, entry);
    at = end;
  }
  if (entries.size !== directory.count) throw fail(`expected ${directory.count} entries but the directory has ${entries.size}`);
  return entries;
}

function readRecord(reader: FileReader, record: Buffer, nameBytes: number, extraBytes: number, fail: Failure): Listed {
  const label = record.subarray(RECORD_BYTES, RECORD_BYTES + nameBytes);
  const name = label.toString('utf8');
  const extra = record.subarray(RECORD_BYTES + nameBytes, RECORD_BYTES + nameBytes + extraBytes);
  const damaged = (): Error => fail(`the entry ${quote(name)} is damaged in the directory`);
  const sizes = zip64Fields(record, extra, damaged);
  const [size, bytes, start] = sizes.map((place) => wide(place.bytes, place.at, fail, place.width)) as [number, number, number];
  const method = record.readUInt16LE(10);
  const encrypted = (record.readUInt16LE(8) & ENCRYPTED) !== 0;
  if (method === 0 && !encrypted && size !== bytes) throw damaged();
  const unusable = encrypted ? 'is encrypted' : method !== 0 ? 'is compressed, which torch.save does not do' : undefined;
  if (start + LOCAL_BYTES + nameBytes > reader.size) throw damaged();
  const local = reader.read(start, LOCAL_BYTES + nameBytes);
  const same =
    local.readUInt32LE(0) === LOCAL && local.readUInt16LE(26) === nameBytes && local.subarray(LOCAL_BYTES).equals(label);
  if (!same || local.readUInt16LE(8) !== method) throw fail(`the entry ${quote(name)} is not where the directory says`);
  return { name, bytes, unusable, start, position: start + LOCAL_BYTES + nameBytes + local.readUInt16LE(28) };
}

interface Place {
  readonly bytes: Buffer;
  readonly at: number;
  readonly width: 4 | 8;
}

/** Where the entry's size, its compressed size and its offset stand: in the record, or, where that is too narrow, in the extra field. */
function zip64Fields(record: Buffer, extra: Buffer, damaged: () => Error): Place[] {
  let field = Buffer.alloc(0);
  for (let at = 0; at + 4 <= extra.length; ) {
    const next = at + 4 + extra.readUInt16LE(at + 2);
    if (next > extra.length) throw damaged();
    if (extra.readUInt16LE(at) === ZIP64_EXTRA) field = extra.subarray(at + 4, next) as typeof field;
    at = next;
  }
  let used = 0;
  return [24, 20, 42].map((at): Place => {
    if (record.readUInt32LE(at) !== IN_EXTRA) return { bytes: record, at, width: 4 };
    used += 8;
    if (used > field.length) throw damaged();
    return { bytes: field, at: used - 8, width: 8 };
  });
}

function wide(bytes: Buffer, at: number, fail: Failure, width: 4 | 8 = 8): number {
  if (width === 4) return bytes.readUInt32LE(at);
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fail(`a size or place of ${value} is beyond any file`);
  return Number(value);
}

import { quote } from '../tensor-file.ts';
import { bitsOf, isStoredDtype, packingOf, rankOf, type StoredDtype } from './dtypes.ts';
import { SafetensorsError } from './error.ts';
import { JsonReader } from './json-reader.ts';

/** Where one tensor's bytes lie, counted from the end of the header. */
export interface Entry {
  readonly dtype: StoredDtype;
  /** The tensor's; the file counts single numbers where an element packs several. */
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** What a file says before its data. */
export interface Header {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of the data. */
  readonly entries: ReadonlyMap<string, Entry>;
}

/** The longest header that is read, as in the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;

/** libtorch's kernels iterate over at most so many dimensions. */
const MAX_DIMS = 64;

const METADATA = '__metadata__';

/**
 * Parses and checks a header. Only the format's own grammar is read, so nothing in it can nest, and what it makes is proportional to
 * its length. The ranges must cover the `dataBytes` after it exactly: no gap, no overlap, nothing left over.
 */
export function parseHeader(file: string, text: string, dataBytes: number): Header {
  const reader = new JsonReader(text, (field, problem) => new SafetensorsError(file, field, problem));
  let metadata: ReadonlyMap<string, string> = new Map();
  const entries = new Map<string, Entry>();
  const seen = new Set<string>();
  if (!text.startsWith('{')) throw new SafetensorsError(file, 'header', 'expected it to begin with "{"');
  reader.object('header', (name) => {
    if (seen.has(name)) throw new SafetensorsError(file, quote(name), 'is there twice');
    seen.add(name);
    if (name === METADATA) metadata = readMetadata(reader);
    else entries.set(name, readEntry(file, reader, name));
  });
  reader.end();
  return { metadata, entries: layOut(file, entries, dataBytes) };
}

function readMetadata(reader: JsonReader): Map<string, string> {
  const metadata = new Map<string, string>();
  reader.object(METADATA, (key) => {
    const field = `${METADATA}.${quote(key)}`;
    if (metadata.has(key)) throw reader.failure(field, 'is there twice');
    metadata.set(key, reader.string(field));
  });
  return metadata;
}

function readEntry(file: string, reader: JsonReader, name: string): Entry {
  const field = quote(name);
  let dtype: StoredDtype | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  reader.object(field, (key) => {
    const inner = `${field}.${key.slice(0, 40)}`;
    if (key === 'dtype' && dtype === undefined) {
      const value = reader.string(inner);
      if (!isStoredDtype(value))
        throw new SafetensorsError(file, inner, `expected a dtype such as "F32" but received ${quote(value)}`);
      dtype = value;
    } else if (key === 'shape' && shape === undefined) shape = reader.integers(inner, MAX_DIMS);
    else if (key === 'data_offsets' && offsets === undefined) offsets = reader.integers(inner, 2);
    else throw new SafetensorsError(file, inner, 'expected dtype, shape and data_offsets, once each');
  });
  if (dtype === undefined) throw new SafetensorsError(file, `${field}.dtype`, 'is missing');
  if (shape === undefined) throw new SafetensorsError(file, `${field}.shape`, 'is missing');
  const [begin, end] = offsets ?? [];
  if (begin === undefined || end === undefined || end < begin) {
    throw new SafetensorsError(
      file,
      `${field}.data_offsets`,
      `expected [begin, end] but received ${JSON.stringify(offsets ?? null)}`,
    );
  }
  const bytes = bytesOf(shape, dtype);
  if (bytes !== end - begin) {
    const needs = bytes === undefined ? 'a whole number of bytes below 2⁵³' : `${bytes} bytes`;
    throw new SafetensorsError(
      file,
      `${field}.data_offsets`,
      `expected ${needs}, as dtype and shape say, but received ${end - begin}`,
    );
  }
  const packing = packingOf(dtype);
  if (packing > 1) {
    const last = shape.pop() as number; // a single number has been refused by its bytes
    if (last % packing !== 0) {
      throw new SafetensorsError(
        file,
        `${field}.shape`,
        `expected a last size that is a multiple of ${packing} but received ${last}`,
      );
    }
    shape.push(last / packing);
  }
  return { dtype, shape, begin, end };
}

/** The bytes of a dense tensor; undefined where they are no whole number or, sizes of 0 aside, beyond 2⁵³. */
function bytesOf(shape: readonly number[], dtype: StoredDtype): number | undefined {
  let elements = 1;
  for (const size of shape) {
    elements *= Math.max(size, 1);
    if (elements * bitsOf(dtype) > Number.MAX_SAFE_INTEGER) return undefined;
  }
  const bytes = (shape.includes(0) ? 0 : elements * bitsOf(dtype)) / 8;
  return Number.isInteger(bytes) ? bytes : undefined;
}

function layOut(file: string, entries: ReadonlyMap<string, Entry>, dataBytes: number): Map<string, Entry> {
  const sorted = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const [name, { begin, end }] of sorted) {
    if (begin !== at) {
      const what = begin < at ? 'an overlap' : 'a gap';
      throw new SafetensorsError(
        file,
        `${quote(name)}.data_offsets`,
        `expected it to begin at ${at} but received ${begin}: ${what}`,
      );
    }
    at = end;
  }
  if (at !== dataBytes) {
    throw new SafetensorsError(file, 'data', `expected ${at} bytes, as the header says, but the file has ${dataBytes}`);
  }
  return new Map(sorted);
}

/** A tensor to be laid out in a new file. */
export interface Item {
  readonly name: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** The order of the reference implementation: wide dtypes first, so that every tensor is aligned; then by name, as UTF-8 bytes. */
export function inFileOrder<T extends Item>(items: readonly T[]): T[] {
  const keyed = items.map((item) => ({ item, key: Buffer.from(item.name) }));
  keyed.sort((a, b) => rankOf(b.item.dtype) - rankOf(a.item.dtype) || Buffer.compare(a.key, b.key));
  return keyed.map(({ item }) => item);
}

/** The bytes before the data: the header's length, and the header, padded with spaces so that the data begins at a multiple of 8. */
export function formatHeader(items: readonly Item[], metadata: Readonly<Record<string, string>> | undefined): Buffer {
  const parts: string[] = [];
  if (metadata !== undefined) parts.push(`"${METADATA}":${JSON.stringify(metadata)}`);
  let at = 0;
  for (const { name, dtype, shape: sizes, bytes } of items) {
    const shape = sizes.map((size, i) => (i === sizes.length - 1 ? size * packingOf(dtype) : size));
    parts.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${at},${at + bytes}]}`);
    at += bytes;
  }
  const json = Buffer.from(`{${parts.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(8 + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, 8);
  return header;
}

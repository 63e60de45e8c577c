import fs from 'node:fs';
import { reasonOf } from '../../native/files.ts';
import { addon } from '../../native/load.ts';
import { wrap } from '../base.ts';
import { native } from '../dispatch.ts';
import { type Dtype, dtypeCode, itemSize } from '../dtype.ts';
import { noGrad } from '../modes.ts';
import type { Tensor } from '../tensor.ts';
import { dtypeOf } from './dtypes.ts';
import { quote, SafetensorsError } from './error.ts';
import { type Entry, type Header, MAX_HEADER_BYTES, parseHeader } from './header.ts';

/** What is copied at a time, so that no more of a file than this is in memory beside the copy. */
export const CHUNK_BYTES = 2 ** 24;

// The net for files that nobody closes.
const registry = new FinalizationRegistry<number>((mapping) => addon.unmap(mapping));

/** One safetensors file: its header, read and checked, and its pages, mapped but not touched. */
export class MappedFile {
  readonly file: string;
  readonly header: Header;
  readonly #dataStart: number;
  #mapping: number | null;
  #lent = false;

  constructor(file: string) {
    this.file = file;
    const { header, dataStart, identity } = readHeader(file);
    this.header = header;
    this.#dataStart = dataStart;
    const mapping = native(() => addon.mapFile(file));
    this.#mapping = mapping;
    registry.register(this, mapping, this);
    // The file is opened twice, by name: it must have stayed the same one.
    const status = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
    if (status === undefined || identityOf(status) !== identity) {
      this.close();
      throw new SafetensorsError(file, 'header', 'the file was replaced while it was being opened');
    }
  }

  /** A tensor over the file's pages. */
  get(name: string, entry: Entry): Tensor {
    this.#lent = true;
    return this.#range(this.#dtype(name, entry), entry.shape, entry.begin);
  }

  /** Copies a tensor into one of the same shape, chunk by chunk, and lets go of the pages behind it. */
  copyInto(name: string, entry: Entry, target: Tensor): void {
    const dtype = this.#dtype(name, entry);
    noGrad(() => {
      using detached = target.detach();
      if (!detached.isContiguous) {
        using source = this.#range(dtype, entry.shape, entry.begin);
        detached.copy_(source);
        this.#drop(entry.begin, entry.end);
        return;
      }
      using flat = detached.view(detached.numel);
      const width = itemSize(dtype);
      for (let at = entry.begin; at < entry.end; at += CHUNK_BYTES) {
        const to = Math.min(at + CHUNK_BYTES, entry.end);
        using source = this.#range(dtype, [(to - at) / width], at);
        using part = flat.narrow(0, (at - entry.begin) / width, (to - at) / width);
        part.copy_(source);
        this.#drop(at, to);
      }
    });
  }

  /** Unmaps the file once no tensor lies over its pages any more. */
  close(): void {
    if (this.#mapping === null) return;
    registry.unregister(this);
    addon.unmap(this.#mapping);
    this.#mapping = null;
  }

  #dtype(name: string, entry: Entry): Dtype {
    const dtype = dtypeOf(entry.dtype);
    if (dtype === undefined) {
      throw new SafetensorsError(this.file, `${quote(name)}.dtype`, `${entry.dtype} has no tensor type in libtorch`);
    }
    return dtype;
  }

  #open(): number {
    if (this.#mapping === null) throw new SafetensorsError(this.file, 'data', 'the file has been closed');
    return this.#mapping;
  }

  #range(dtype: Dtype, shape: readonly number[], begin: number): Tensor {
    const mapping = this.#open();
    return wrap(native(() => addon.mappedTensor(mapping, this.#dataStart + begin, shape, dtypeCode(dtype))));
  }

  // Pages that a lent tensor may have written to differ from the file's, and dropping them would undo that.
  #drop(begin: number, end: number): void {
    const mapping = this.#open();
    if (!this.#lent) addon.adviseUnused(mapping, this.#dataStart + begin, end - begin);
  }
}

function identityOf(status: fs.BigIntStats): string {
  return `${status.dev} ${status.ino} ${status.size} ${status.mtimeNs}`;
}

function readHeader(file: string): { header: Header; dataStart: number; identity: string } {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, 'r');
  } catch (error) {
    throw new SafetensorsError(file, 'header', `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  try {
    const status = fs.fstatSync(descriptor, { bigint: true });
    if (!status.isFile()) throw new SafetensorsError(file, 'header', 'expected a regular file');
    const size = Number(status.size);
    const length = size < 8 ? 0n : readExactly(file, descriptor, 0, 8).readBigUInt64LE();
    const most = Math.min(size - 8, MAX_HEADER_BYTES);
    if (length < 2n || length > BigInt(most)) {
      const came = size < 8 ? `a file of ${size}` : `a header of ${length}`;
      throw new SafetensorsError(file, 'header', `expected 2 to ${Math.max(most, 2)} bytes but received ${came}`);
    }
    const bytes = readExactly(file, descriptor, 8, Number(length));
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (error) {
      throw new SafetensorsError(file, 'header', 'expected UTF-8 text', { cause: error });
    }
    const dataStart = 8 + Number(length);
    return { header: parseHeader(file, text, size - dataStart), dataStart, identity: identityOf(status) };
  } finally {
    fs.closeSync(descriptor);
  }
}

function readExactly(file: string, descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const read = fs.readSync(descriptor, bytes, done, length - done, position + done);
    if (read === 0) throw new SafetensorsError(file, 'header', 'the file was cut off while it was being read');
    done += read;
  }
  return bytes;
}

import fs from 'node:fs';
import { reasonOf } from '../native/files.ts';
import { addon } from '../native/load.ts';
import { wrap } from './base.ts';
import { native } from './dispatch.ts';
import { type Dtype, dtypeCode, itemSize } from './dtype.ts';
import { noGrad } from './modes.ts';
import type { Tensor } from './tensor.ts';

/** What is copied at a time, so that no more of a file than this is in memory beside the copy. */
export const CHUNK_BYTES = 2 ** 24;

/** Makes a format's own error of what is wrong with a file. */
export type Failure = (problem: string, options?: ErrorOptions) => Error;

/** A file that is open to be read and checked. */
export interface FileReader {
  readonly size: number;
  /** Exactly these bytes, which lie inside the file. */
  read(position: number, length: number): Buffer;
}

// The net for files that nobody closes.
const registry = new FinalizationRegistry<number>((mapping) => addon.unmap(mapping));

/** A file's pages, mapped but not touched: tensors lie over them, or are copied from them. */
export class MappedPages {
  readonly #fail: Failure;
  #mapping: number | null;
  #lent = false;

  private constructor(file: string, fail: Failure) {
    const mapping = native(() => addon.mapFile(file));
    this.#fail = fail;
    this.#mapping = mapping;
    registry.register(this, mapping, this);
  }

  /** Maps a file once `parse` has read and checked what it says of itself. */
  static open<T>(file: string, fail: Failure, parse: (reader: FileReader) => T): { pages: MappedPages; parsed: T } {
    const { parsed, identity } = readFile(file, fail, parse);
    const pages = new MappedPages(file, fail);
    // The file is opened twice, by name: it must have stayed the same one.
    const status = fs.statSync(file, { bigint: true, throwIfNoEntry: false });
    if (status === undefined || identityOf(status) !== identity) {
      pages.close();
      throw fail('the file was replaced while it was being opened');
    }
    return { pages, parsed };
  }

  /** A contiguous tensor over the pages from byte `begin` on; a copy where that place does not fit the dtype. */
  lend(dtype: Dtype, shape: readonly number[], begin: number): Tensor {
    this.#lent = true;
    return this.#range(dtype, shape, begin);
  }

  /** Copies a contiguous tensor into one of the same shape, chunk by chunk, and lets go of the pages behind it. */
  copyInto(target: Tensor, dtype: Dtype, shape: readonly number[], begin: number): void {
    const width = itemSize(dtype);
    const end = begin + shape.reduce((product, size) => product * size, width);
    noGrad(() => {
      using detached = target.detach();
      if (!detached.isContiguous) {
        using source = this.#range(dtype, shape, begin);
        detached.copy_(source);
        this.#drop(begin, end);
        return;
      }
      using flat = detached.view(detached.numel);
      for (let at = begin; at < end; at += CHUNK_BYTES) {
        const to = Math.min(at + CHUNK_BYTES, end);
        using source = this.#range(dtype, [(to - at) / width], at);
        using part = flat.narrow(0, (at - begin) / width, (to - at) / width);
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

  #open(): number {
    if (this.#mapping === null) throw this.#fail('the file has been closed');
    return this.#mapping;
  }

  #range(dtype: Dtype, shape: readonly number[], begin: number): Tensor {
    const mapping = this.#open();
    return wrap(native(() => addon.mappedTensor(mapping, begin, shape, dtypeCode(dtype))));
  }

  // Pages that a lent tensor may have written to differ from the file's, and dropping them would undo that.
  #drop(begin: number, end: number): void {
    const mapping = this.#open();
    if (!this.#lent) addon.adviseUnused(mapping, begin, end - begin);
  }
}

function identityOf(status: fs.BigIntStats): string {
  return `${status.dev} ${status.ino} ${status.size} ${status.mtimeNs}`;
}

function readFile<T>(file: string, fail: Failure, parse: (reader: FileReader) => T): { parsed: T; identity: string } {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK); // a pipe would block until someone writes
  } catch (error) {
    throw fail(`cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  try {
    const status = fs.fstatSync(descriptor, { bigint: true });
    if (!status.isFile()) throw fail('expected a regular file');
    const read = (position: number, length: number): Buffer => {
      const bytes = Buffer.allocUnsafe(length);
      for (let done = 0; done < length; ) {
        const count = fs.readSync(descriptor, bytes, done, length - done, position + done);
        if (count === 0) throw fail('the file was cut off while it was being read');
        done += count;
      }
      return bytes;
    };
    return { parsed: parse({ size: Number(status.size), read }), identity: identityOf(status) };
  } finally {
    fs.closeSync(descriptor);
  }
}

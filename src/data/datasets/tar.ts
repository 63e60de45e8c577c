import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Header } from 'tar/header';
import { Pax } from 'tar/pax';
import { transferable } from '../../native/error-transfer.ts';
import { FileError } from '../../native/errors.ts';
import { reasonOf } from '../../native/files.ts';
import { staysInside } from './records.ts';

/** A tar is cut off, damaged, or holds what is not accepted from outside. */
export class TarError extends FileError {
  override readonly name: string = 'TarError';
}

transferable(TarError);

/** A file in a tar. */
export interface TarMember {
  readonly name: string;
  /** Where its bytes are. */
  readonly offset: number;
  readonly size: number;
  /** Where the next member's header is. */
  readonly next: number;
}

const BLOCK = 512;
const WINDOW = 2 ** 14; // one read mostly gets a picture's description and the next picture's header
const MAX_HEADER_BYTES = 2 ** 20; // of a pax header or a long name
const MAX_HEADERS = 16; // before one member

/**
 * Reads the headers of a tar on the disk (ustar, pax, GNU), member by member from any one on, and passes over what they hold: nothing is
 * unpacked. Links, devices and sparse files, and names that lead out of a folder, are refused.
 */
export class TarReader {
  readonly file: string;
  readonly #handle: FileHandle;
  readonly #size: number;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;

  private constructor(file: string, handle: FileHandle, size: number) {
    this.file = file;
    this.#handle = handle;
    this.#size = size;
  }

  /** @throws TarError */
  static async open(file: string): Promise<TarReader> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK); // a pipe would block until someone writes
      const status = await handle.stat();
      if (!status.isFile()) throw new TarError(file, 'expected a regular file');
      return new TarReader(file, handle, status.size);
    } catch (error) {
      await handle?.close();
      throw error instanceof TarError ? error : new TarError(file, `cannot be read: ${reasonOf(error)}`, { cause: error });
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /**
   * The first file whose header is at `position` or after it; undefined at the tar's end.
   *
   * @throws TarError
   */
  async member(position: number): Promise<TarMember | undefined> {
    let pax: Pax | undefined;
    let longName: string | undefined;
    let at = position;
    for (let headers = 0; headers <= MAX_HEADERS; headers++) {
      const header = this.#decode(await this.#read(at, BLOCK, 'the tar'), at, pax);
      if (header === undefined) return undefined;
      const size = header.size ?? 0;
      const offset = at + BLOCK;
      const next = offset + Math.ceil(size / BLOCK) * BLOCK;
      const name = longName ?? header.path ?? '';
      switch (header.type) {
        case 'File':
        case 'OldFile':
        case 'ContiguousFile':
          return { name: this.#accept(name, size, offset), offset, size, next };
        case 'Directory':
          this.#accept(name.replace(/\/$/, ''), 0, offset);
          pax = longName = undefined;
          headers = -1;
          break;
        case 'ExtendedHeader':
        case 'OldExtendedHeader':
          pax = Pax.parse(this.#extension(await this.#content(offset, size), offset), pax);
          break;
        case 'GlobalExtendedHeader':
          if (/^\d+ (?:size|path|linkpath)=/m.test(this.#extension(await this.#content(offset, size), offset))) {
            throw new TarError(this.file, `the header at byte ${at} gives all members one name or size`);
          }
          break;
        case 'NextFileHasLongPath':
        case 'OldGnuLongPath':
          longName = (await this.#content(offset, size)).replace(/\0.*$/s, '');
          break;
        default:
          throw new TarError(this.file, `member ${shown(name)} is no file but ${KINDS[header.type] ?? `of kind ${header.type}`}`);
      }
      at = next;
    }
    throw new TarError(this.file, `more than ${MAX_HEADERS} headers come before the member at byte ${position}`);
  }

  /** A member's bytes, of which there must be at most `maxBytes`. */
  read({ name, offset, size }: TarMember, maxBytes: number): Promise<Buffer> {
    if (size > maxBytes) throw new FileError(`${this.file}: ${name}`, `expected at most ${maxBytes} bytes but it has ${size}`);
    return this.#read(offset, size, `member ${shown(name)}`);
  }

  /** A header; undefined for the empty block that ends a tar. */
  #decode(block: Buffer, at: number, pax: Pax | undefined): Header | undefined {
    let header: Header;
    try {
      header = new Header(block, 0, pax);
    } catch (error) {
      throw new TarError(this.file, `the header at byte ${at} is damaged: ${reasonOf(error)}`, { cause: error });
    }
    if (header.nullBlock) return undefined;
    if (!header.cksumValid) throw new TarError(this.file, `expected a tar header at byte ${at}, but its checksum is wrong`);
    if (!Number.isSafeInteger(header.size) || (header.size as number) < 0) {
      throw new TarError(this.file, `the header at byte ${at} gives no size`);
    }
    return header;
  }

  #accept(name: string, size: number, offset: number): string {
    if (!staysInside(name)) throw new TarError(this.file, `member ${shown(name)} has a name that leads out of a folder`);
    if (size > this.#size - offset) {
      throw new TarError(this.file, `is cut off: member ${shown(name)} has ${size} bytes but ${this.#size - offset} are left`);
    }
    return name.replace(/^(?:\.\/+)+/, '');
  }

  #extension(text: string, offset: number): string {
    if (/^\d+ GNU\.sparse\./m.test(text)) throw new TarError(this.file, `the member at byte ${offset} is a sparse file`);
    return text;
  }

  async #content(offset: number, size: number): Promise<string> {
    if (size > MAX_HEADER_BYTES) {
      throw new TarError(
        this.file,
        `the header at byte ${offset - BLOCK}: expected at most ${MAX_HEADER_BYTES} bytes but it has ${size}`,
      );
    }
    return (await this.#read(offset, size, 'a header')).toString('utf8');
  }

  async #read(offset: number, size: number, what: string): Promise<Buffer> {
    if (offset + size > this.#size)
      throw new TarError(this.file, `is cut off: ${what} goes on where the file ends, at byte ${this.#size}`);
    if (offset < this.#windowStart || offset + size > this.#windowStart + this.#window.length) {
      const window = Buffer.allocUnsafe(Math.min(Math.max(size, WINDOW), this.#size - offset));
      try {
        const { bytesRead } = await this.#handle.read(window, 0, window.length, offset);
        if (bytesRead < size) throw new TarError(this.file, 'became shorter while it was read');
        this.#window = window.subarray(0, bytesRead);
        this.#windowStart = offset;
      } catch (error) {
        throw error instanceof TarError ? error : new TarError(this.file, `cannot be read: ${reasonOf(error)}`, { cause: error });
      }
    }
    return this.#window.subarray(offset - this.#windowStart, offset - this.#windowStart + size);
  }
}

const KINDS: Readonly<Record<string, string>> = {
  Link: 'a link',
  SymbolicLink: 'a symbolic link',
  CharacterDevice: 'a device',
  BlockDevice: 'a device',
  FIFO: 'a pipe',
  SparseFile: 'a sparse file',
  OldSparseFile: 'a sparse file',
};

const shown = (name: string): string => JSON.stringify(name.slice(0, 200));

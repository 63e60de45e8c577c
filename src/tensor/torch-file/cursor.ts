import type { Failure, FileReader } from '../mapped-pages.ts';

const WINDOW_BYTES = 2 ** 16;

/** Reads a stretch of a file from front to end, a window at a time. */
export class Cursor {
  readonly #reader: FileReader;
  readonly #end: number;
  readonly #fail: Failure;
  #position: number;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;

  constructor(reader: FileReader, start: number, end: number, fail: Failure) {
    this.#reader = reader;
    this.#position = start;
    this.#end = end;
    this.#fail = fail;
  }

  /** Where in the file the next byte is. */
  get position(): number {
    return this.#position;
  }

  /** The next bytes; valid until the next call. */
  take(length: number): Buffer {
    if (length > this.#end - this.#position)
      throw this.#fail(`expected ${length} bytes at byte ${this.#position} but it ends there`);
    const from = this.#position - this.#windowStart;
    if (from + length > this.#window.length) {
      this.#window = this.#reader.read(this.#position, Math.max(length, Math.min(WINDOW_BYTES, this.#end - this.#position)));
      this.#windowStart = this.#position;
    }
    const begin = this.#position - this.#windowStart;
    this.#position += length;
    return this.#window.subarray(begin, begin + length);
  }

  byte(): number {
    return this.take(1).readUInt8(0);
  }

  /** What stands before the next line break, at most 1,000 bytes of ASCII. */
  line(): string {
    let text = '';
    for (let byte = this.byte(); byte !== 0x0a; byte = this.byte()) {
      if (byte > 0x7e || text.length === 1000) throw this.#fail(`expected a line of ASCII before byte ${this.#position}`);
      text += String.fromCharCode(byte);
    }
    return text;
  }
}

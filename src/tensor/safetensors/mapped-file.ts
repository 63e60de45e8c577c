import type { Dtype } from '../dtype.ts';
import { type FileReader, MappedPages } from '../mapped-pages.ts';
import type { Tensor } from '../tensor.ts';
import { quote, type TensorPart } from '../tensor-file.ts';
import { dtypeOf } from './dtypes.ts';
import { SafetensorsError } from './error.ts';
import { type Entry, type Header, MAX_HEADER_BYTES, parseHeader } from './header.ts';

/** One safetensors file: its header, read and checked, and its pages. */
export class MappedFile implements TensorPart<Entry> {
  readonly file: string;
  readonly header: Header;
  readonly #dataStart: number;
  readonly #pages: MappedPages;

  constructor(file: string) {
    this.file = file;
    const fail = (problem: string, options?: ErrorOptions): Error => new SafetensorsError(file, 'header', problem, options);
    const { pages, parsed } = MappedPages.open(file, fail, (reader) => readHeader(file, reader));
    this.#pages = pages;
    this.header = parsed.header;
    this.#dataStart = parsed.dataStart;
  }

  get entries(): ReadonlyMap<string, Entry> {
    return this.header.entries;
  }

  get(name: string, entry: Entry): Tensor {
    return this.#pages.lend(this.#dtype(name, entry), entry.shape, this.#dataStart + entry.begin);
  }

  copyInto(name: string, entry: Entry, target: Tensor): void {
    this.#pages.copyInto(target, this.#dtype(name, entry), entry.shape, this.#dataStart + entry.begin);
  }

  close(): void {
    this.#pages.close();
  }

  #dtype(name: string, entry: Entry): Dtype {
    const dtype = dtypeOf(entry.dtype);
    if (dtype === undefined) {
      throw new SafetensorsError(this.file, `${quote(name)}.dtype`, `${entry.dtype} has no tensor type in libtorch`);
    }
    return dtype;
  }
}

function readHeader(file: string, { size, read }: FileReader): { header: Header; dataStart: number } {
  const length = size < 8 ? 0n : read(0, 8).readBigUInt64LE();
  const most = Math.min(size - 8, MAX_HEADER_BYTES);
  if (length < 2n || length > BigInt(most)) {
    const came = size < 8 ? `a file of ${size}` : `a header of ${length}`;
    throw new SafetensorsError(file, 'header', `expected 2 to ${Math.max(most, 2)} bytes but received ${came}`);
  }
  const bytes = read(8, Number(length));
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new SafetensorsError(file, 'header', 'expected UTF-8 text', { cause: error });
  }
  const dataStart = 8 + Number(length);
  return { header: parseHeader(file, text, size - dataStart), dataStart };
}

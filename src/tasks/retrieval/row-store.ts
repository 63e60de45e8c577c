import { FileError } from '../../native/errors.ts';
import { type Dtype, empty, itemSize, keep, type Tensor } from '../../tensor/index.ts';
import { MappedPages } from '../../tensor/mapped-pages.ts';
import { TemporaryFile } from './temporary-file.ts';

/** How rows are laid out. */
interface Layout {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Bytes of a row. */
  readonly bytes: number;
}

/** Rows in memory, from number `start` on. */
interface Part {
  readonly start: number;
  readonly rows: Tensor;
}

/**
 * Rows of tensors that are appended first and read afterwards. Up to a number of bytes they stay in memory; beyond it all of them go into
 * a temporary file, which is mapped for reading.
 */
export class RowStore {
  readonly #maxBytes: number;
  readonly #directory: string;
  #layout: Layout | null = null;
  #parts: Part[] = [];
  #count = 0;
  #file: TemporaryFile | null = null;
  #pages: MappedPages | null = null;

  /** @param directory where a temporary file goes */
  constructor(maxBytes: number, directory: string) {
    this.#maxBytes = maxBytes;
    this.#directory = directory;
  }

  /** Rows in it. */
  get count(): number {
    return this.#count;
  }

  /** Whether they have gone into a file. */
  get spilled(): boolean {
    return this.#file !== null || this.#pages !== null;
  }

  /**
   * Copies rows `[n, …]` to the end.
   * @throws FileError where the temporary file cannot be written
   */
  append(rows: Tensor): void {
    this.#layout ??= layoutOf(rows);
    const { dtype, bytes } = this.#layout;
    const [count] = rows.shape as readonly [number];
    const own = keep(rows.detach().to({ device: 'cpu', dtype }).clone());
    this.#parts.push({ start: this.#count, rows: own });
    this.#count += count;
    if (this.#file !== null || this.#count * bytes > this.#maxBytes) this.#spill();
  }

  /**
   * Rows `[count, …]` from number `start` on, on the CPU. Nothing may be appended any more.
   * @throws FileError where the temporary file cannot be read
   */
  read(start: number, count: number): Tensor {
    const { dtype, shape, bytes } = this.#layout as Layout;
    const target = empty([count, ...shape], { dtype });
    if (this.#file !== null) this.#map();
    if (this.#pages !== null) this.#pages.copyInto(target, dtype, [count, ...shape], start * bytes);
    else {
      for (const part of this.#parts) {
        const from = Math.max(start, part.start);
        const to = Math.min(start + count, part.start + part.rows.size(0));
        if (from >= to) continue;
        using source = part.rows.narrow(0, from - part.start, to - from);
        using place = target.narrow(0, from - start, to - from);
        place.copy_(source);
      }
    }
    return target;
  }

  dispose(): void {
    for (const { rows } of this.#parts) rows.dispose();
    this.#parts = [];
    this.#pages?.close();
    this.#pages = null;
    this.#file?.close();
    this.#file = null;
  }

  #spill(): void {
    this.#file ??= new TemporaryFile(this.#directory);
    for (const { rows } of this.#parts) {
      const { buffer, byteOffset, byteLength } = rows.data();
      this.#file.append(new Uint8Array(buffer, byteOffset, byteLength));
      rows.dispose();
    }
    this.#parts = [];
  }

  #map(): void {
    const file = this.#file as TemporaryFile;
    const fail = (problem: string, options?: ErrorOptions): Error => new FileError(file.name, problem, options);
    try {
      this.#pages = MappedPages.open(file.path, fail, () => {}).pages;
    } finally {
      file.close();
      this.#file = null;
    }
  }
}

function layoutOf(rows: Tensor): Layout {
  const [, ...shape] = rows.shape;
  return { dtype: rows.dtype, shape, bytes: shape.reduce((product, size) => product * size, itemSize(rows.dtype)) };
}

import { aString, checkArgument } from '../native/arguments.ts';
import { ArgumentError, FileError } from '../native/errors.ts';
import type { Dtype } from './dtype.ts';
import type { Tensor } from './tensor.ts';

/** @internal One file of those that hold a checkpoint's tensors. */
export interface TensorPart<E> {
  readonly file: string;
  readonly entries: ReadonlyMap<string, E>;
  get(name: string, entry: E): Tensor;
  copyInto(name: string, entry: E, target: Tensor): void;
  close(): void;
}

/** What is known of a stored tensor without touching its data. */
export interface TensorInfo {
  /** The tensor's dtype; undefined where libtorch has none for the stored one. */
  readonly dtype: Dtype | undefined;
  /** Sizes, outermost first. */
  readonly shape: readonly number[];
  /** Bytes of its data in the file. */
  readonly bytes: number;
  /** The file that holds it. */
  readonly file: string;
}

/** Named tensors in a file, or in several with an index, that are mapped and read only as they are used. */
export abstract class TensorFile<E extends { readonly shape: readonly number[] } = { readonly shape: readonly number[] }> {
  /** The file, index or folder that was opened. */
  readonly path: string;
  readonly #parts: readonly TensorPart<E>[];
  readonly #entries: ReadonlyMap<string, { readonly part: TensorPart<E>; readonly entry: E }>;
  #closed = false;

  /**
   * @internal
   * @param owners which part has a name that is in more than one
   * @param twice the error of a name that is in several parts without an owner
   */
  constructor(
    opened: string,
    parts: readonly TensorPart<E>[],
    owners: ReadonlyMap<string, TensorPart<E>>,
    twice: (file: string, name: string) => Error,
  ) {
    this.path = opened;
    this.#parts = parts;
    const entries = new Map<string, { part: TensorPart<E>; entry: E }>();
    for (const part of parts) {
      for (const [name, entry] of part.entries) {
        if (entries.has(name) && !owners.has(name)) throw twice(part.file, name);
        if ((owners.get(name) ?? part) === part) entries.set(name, { part, entry });
      }
    }
    this.#entries = entries;
  }

  /** Every tensor's name, in the order of the files. */
  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** Whether there is a tensor of this name. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** What a tensor is, without its data. */
  abstract info(name: string): TensorInfo;

  /**
   * The tensor `name`, over the mapped pages of its file: read from the disk as it is used, and never written back to it. It stays
   * usable after {@link close}. The file must not be shortened meanwhile; one replaced by renaming is safe.
   */
  get(name: string): Tensor {
    const { part, entry } = this.find(name);
    this.#expectOpen();
    return part.get(name, entry);
  }

  /**
   * Copies the tensor `name` into `target`, which has its shape but may have another dtype or device. No more than 16 MiB of the file
   * is in memory at a time, unless either of them is not contiguous or {@link get} was used on the same file.
   */
  copyInto(name: string, target: Tensor): void {
    const { part, entry } = this.find(name);
    this.#expectOpen();
    const { shape } = target;
    if (shape.length !== entry.shape.length || shape.some((size, i) => size !== entry.shape[i])) {
      throw new ArgumentError('target', `the shape [${entry.shape}] of ${quote(name)}`, `[${shape}]`);
    }
    part.copyInto(name, entry, target);
  }

  /** Lets go of the files. Doing it twice is harmless; `get` and `copyInto` afterwards are errors. */
  close(): void {
    this.#closed = true;
    for (const part of this.#parts) part.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  protected find(name: string): { readonly part: TensorPart<E>; readonly entry: E } {
    checkArgument('name', name, aString);
    const found = this.#entries.get(name);
    if (found === undefined) throw new ArgumentError('name', `a tensor of ${this.path}`, quote(name));
    return found;
  }

  #expectOpen(): void {
    if (this.#closed) throw new FileError(this.path, 'has been closed');
  }
}

/** @internal Every tensor of a file, which is closed then, by name. */
export function loadAll(opened: TensorFile): Map<string, Tensor> {
  try {
    return new Map(opened.names.map((name) => [name, opened.get(name)]));
  } finally {
    opened.close();
  }
}

/** @internal A name from a file, made fit for a message. */
export function quote(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

import fs from 'node:fs';
import path from 'node:path';
import { ArgumentError, FileError } from '../../native/errors.ts';
import { readJsonObject, reasonOf } from '../../native/files.ts';
import type { Dtype } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';
import { dtypeOf, type StoredDtype } from './dtypes.ts';
import { quote, SafetensorsError } from './error.ts';
import type { Entry } from './header.ts';
import { MappedFile } from './mapped-file.ts';

/** What is known of a stored tensor without touching its data. */
export interface StoredTensor {
  /** The tensor's dtype; undefined for those that libtorch has none for (F4 and F6). */
  readonly dtype: Dtype | undefined;
  /** The dtype under the format's own name, such as `'BF16'`. */
  readonly storedDtype: StoredDtype;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** The file that holds it. */
  readonly file: string;
}

/** Tensors in one safetensors file, or in several with an index; opened by {@link openSafetensors}. */
export class Safetensors {
  /** The file, index or folder that was opened. */
  readonly path: string;
  /** The free-form text in the files' headers. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly #files: readonly MappedFile[];
  readonly #entries: ReadonlyMap<string, { readonly file: MappedFile; readonly entry: Entry }>;
  #closed = false;

  /** @internal `owners` says which file has a name that is in more than one. */
  constructor(opened: string, files: readonly MappedFile[], owners: ReadonlyMap<string, MappedFile>) {
    this.path = opened;
    this.#files = files;
    this.metadata = new Map(files.flatMap((file) => [...file.header.metadata]));
    const entries = new Map<string, { file: MappedFile; entry: Entry }>();
    for (const file of files) {
      for (const [name, entry] of file.header.entries) {
        const owner = owners.get(name) ?? file;
        if (entries.has(name) && !owners.has(name))
          throw new SafetensorsError(file.file, quote(name), 'is in another file as well');
        if (owner === file) entries.set(name, { file, entry });
      }
    }
    this.#entries = entries;
  }

  /** Every tensor's name, in the order of the files and of the data in them. */
  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** What a tensor is, from the header alone. */
  info(name: string): StoredTensor {
    const { file, entry } = this.#find(name);
    const { dtype, shape, begin, end } = entry;
    return { dtype: dtypeOf(dtype), storedDtype: dtype, shape, bytes: end - begin, file: file.file };
  }

  /**
   * The tensor `name`, over the mapped pages of its file: read from the disk as it is used, and never written back to it. It stays
   * usable after {@link close}. The file must not be shortened meanwhile; one replaced by renaming is safe.
   */
  get(name: string): Tensor {
    const { file, entry } = this.#find(name);
    this.#expectOpen();
    return file.get(name, entry);
  }

  /**
   * Copies the tensor `name` into `target`, which has its shape but may have another dtype or device. No more than 16 MiB of the file
   * is in memory at a time, unless `target` is not contiguous or {@link get} was used on the same file.
   */
  copyInto(name: string, target: Tensor): void {
    const { file, entry } = this.#find(name);
    this.#expectOpen();
    const { shape } = target;
    if (shape.length !== entry.shape.length || shape.some((size, i) => size !== entry.shape[i])) {
      throw new ArgumentError('target', `the shape [${entry.shape}] of ${quote(name)}`, `[${shape}]`);
    }
    file.copyInto(name, entry, target);
  }

  /** Lets go of the files. Doing it twice is harmless; `get` and `copyInto` afterwards are errors. */
  close(): void {
    this.#closed = true;
    for (const file of this.#files) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #find(name: string): { readonly file: MappedFile; readonly entry: Entry } {
    const found = this.#entries.get(name);
    if (found === undefined) throw new ArgumentError('name', `a tensor of ${this.path}`, quote(name));
    return found;
  }

  #expectOpen(): void {
    if (this.#closed) throw new FileError(this.path, 'has been closed');
  }
}

/** The names under which Hugging Face's libraries look for weights in a folder. */
const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/**
 * Opens a safetensors file, the index of several (`….index.json`), or a folder with `model.safetensors` or
 * `model.safetensors.index.json`. The headers are read and checked; the data is mapped, not read.
 *
 * @throws SafetensorsError when a header or the index is not what the format asks for.
 * @throws FileError when there is no such file.
 */
export function openSafetensors(source: string): Safetensors {
  const file = locate(source);
  if (!file.endsWith('.json')) return new Safetensors(source, [new MappedFile(file)], new Map());
  const weightMap = readIndex(file);
  const shards = new Map<string, MappedFile>();
  try {
    for (const name of [...new Set(weightMap.values())].sort())
      shards.set(name, new MappedFile(path.join(path.dirname(file), name)));
    const owners = new Map<string, MappedFile>();
    for (const [tensor, name] of weightMap) {
      const shard = shards.get(name) as MappedFile;
      if (!shard.header.entries.has(tensor)) {
        throw new SafetensorsError(file, `weight_map.${quote(tensor)}`, `expected the tensor in ${name}, which does not have it`);
      }
      owners.set(tensor, shard);
    }
    return new Safetensors(source, [...shards.values()], owners);
  } catch (error) {
    for (const shard of shards.values()) shard.close();
    throw error;
  }
}

function isFolder(source: string): boolean {
  try {
    return fs.statSync(source).isDirectory();
  } catch (error) {
    throw new FileError(source, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

function locate(source: string): string {
  if (!isFolder(source)) return source;
  const found = [SINGLE, INDEX].map((name) => path.join(source, name)).find((file) => fs.existsSync(file));
  if (found === undefined) throw new FileError(source, `expected ${SINGLE} or ${INDEX} in the folder`);
  return found;
}

// A shard's name comes from a file that anyone may have written: it must stay in the index's own folder.
const SHARD_NAME = /^[^/\\\0]+\.safetensors$/;

function readIndex(file: string): Map<string, string> {
  const weightMap = readJsonObject(file).weight_map;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw new SafetensorsError(file, 'weight_map', 'expected an object of file names');
  }
  const names = new Map<string, string>();
  for (const [tensor, name] of Object.entries(weightMap)) {
    if (typeof name !== 'string' || !SHARD_NAME.test(name)) {
      const came = quote(typeof name === 'string' ? name : (JSON.stringify(name) ?? 'nothing'));
      throw new SafetensorsError(
        file,
        `weight_map.${quote(tensor)}`,
        `expected the name of a .safetensors file beside it but received ${came}`,
      );
    }
    names.set(tensor, name);
  }
  return names;
}

/**
 * Every tensor of a safetensors file, index or folder, by name, over the mapped pages (see {@link Safetensors.get}).
 *
 * @throws SafetensorsError
 */
export function loadSafetensors(source: string): Map<string, Tensor> {
  const opened = openSafetensors(source);
  try {
    return new Map(opened.names.map((name) => [name, opened.get(name)]));
  } finally {
    opened.close();
  }
}

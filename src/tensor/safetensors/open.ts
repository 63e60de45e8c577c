import { locate, openShards } from '../shards.ts';
import type { Tensor } from '../tensor.ts';
import { loadAll, quote, TensorFile, type TensorInfo } from '../tensor-file.ts';
import { dtypeOf, type StoredDtype } from './dtypes.ts';
import { SafetensorsError } from './error.ts';
import type { Entry } from './header.ts';
import { MappedFile } from './mapped-file.ts';

/** What is known of a stored tensor without touching its data. */
export interface StoredTensor extends TensorInfo {
  /** The dtype under the format's own name, such as `'BF16'`. libtorch has none for F6, and of F4 two in an element. */
  readonly storedDtype: StoredDtype;
}

/** Tensors in one safetensors file, or in several with an index; opened by {@link openSafetensors}. */
export class Safetensors extends TensorFile<Entry> {
  /** The free-form text in the files' headers. */
  readonly metadata: ReadonlyMap<string, string>;

  /** @internal `owners` says which file has a name that is in more than one. */
  constructor(opened: string, files: readonly MappedFile[], owners: ReadonlyMap<string, MappedFile>) {
    super(opened, files, owners, (file, name) => new SafetensorsError(file, quote(name), 'is in another file as well'));
    this.metadata = new Map(files.flatMap((file) => [...file.header.metadata]));
  }

  /** What a tensor is, from the header alone. */
  override info(name: string): StoredTensor {
    const { part, entry } = this.find(name);
    const { dtype, shape, begin, end } = entry;
    return { dtype: dtypeOf(dtype), storedDtype: dtype, shape, bytes: end - begin, file: part.file };
  }
}

/** The names under which Hugging Face's libraries look for weights in a folder. */
export const SAFETENSORS_NAMES = ['model.safetensors', 'model.safetensors.index.json'] as const;

/**
 * Opens a safetensors file, the index of several (`….index.json`), or a folder with `model.safetensors` or
 * `model.safetensors.index.json`. The headers are read and checked; the data is mapped, not read.
 *
 * @throws SafetensorsError when a header or the index is not what the format asks for.
 * @throws FileError when there is no such file.
 */
export function openSafetensors(source: string): Safetensors {
  const file = locate(source, SAFETENSORS_NAMES);
  if (!file.endsWith('.json')) return new Safetensors(source, [new MappedFile(file)], new Map());
  const { parts, owners } = openShards(file, {
    suffix: '.safetensors',
    open: (part) => new MappedFile(part),
    fail: (at, field, problem) => new SafetensorsError(at, field, problem),
  });
  return new Safetensors(source, parts, owners);
}

/**
 * Every tensor of a safetensors file, index or folder, by name, over the mapped pages (see {@link Safetensors.get}).
 *
 * @throws SafetensorsError
 */
export function loadSafetensors(source: string): Map<string, Tensor> {
  return loadAll(openSafetensors(source));
}

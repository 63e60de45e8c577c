import { run } from '../base.ts';
import { operator } from '../dispatch.ts';
import { itemSize } from '../dtype.ts';
import { MappedPages } from '../mapped-pages.ts';
import { locate, openShards } from '../shards.ts';
import type { Tensor } from '../tensor.ts';
import { loadAll, quote, TensorFile, type TensorInfo, type TensorPart } from '../tensor-file.ts';
import { type Fail, readArchive } from './archive.ts';
import { TorchFileError } from './error.ts';
import { readLegacy } from './legacy.ts';
import { nameContents, type TorchScalar } from './names.ts';
import type { StoredView } from './stored.ts';

const AS_STRIDED = operator('as_strided');

/** One file of `torch.save`: what its pickle says, read and checked, and its pages. */
class TorchPart implements TensorPart<StoredView> {
  readonly file: string;
  readonly entries: ReadonlyMap<string, StoredView>;
  readonly scalars: ReadonlyMap<string, TorchScalar>;
  readonly #pages: MappedPages;

  constructor(file: string) {
    this.file = file;
    const fail: Fail = (field, problem, options) => new TorchFileError(file, field, problem, options);
    const { pages, parsed } = MappedPages.open(
      file,
      (problem, options) => fail('file', problem, options),
      (reader) => {
        const start = reader.size < 4 ? 0 : reader.read(0, 4).readUInt32BE();
        if (start === 0x504b0304) return nameContents(readArchive(reader, fail), fail);
        if (start >>> 24 === 0x80) return nameContents(readLegacy(reader, fail), fail);
        throw fail('file', 'expected what torch.save writes: a zip archive or a pickle');
      },
    );
    this.entries = parsed.entries;
    this.scalars = parsed.scalars;
    this.#pages = pages;
  }

  get(_name: string, view: StoredView): Tensor {
    const begin = placeOf(view);
    if (view.isContiguous) return this.#pages.lend(view.dtype, view.shape, begin);
    using flat = this.#pages.lend(view.dtype, [view.span], begin);
    return run(AS_STRIDED, flat.handle, view.shape, view.strides, 0);
  }

  copyInto(name: string, view: StoredView, target: Tensor): void {
    if (view.isContiguous) this.#pages.copyInto(target, view.dtype, view.shape, placeOf(view));
    else {
      using source = this.get(name, view);
      using detached = target.detach();
      detached.copy_(source);
    }
  }

  close(): void {
    this.#pages.close();
  }
}

function placeOf({ storage, offset, dtype, numel }: StoredView): number {
  const start = storage.position as number; // known once the file has been read
  return numel === 0 ? start : start + offset * itemSize(dtype);
}

/** What is known of a tensor in a file of `torch.save` without touching its data. */
export interface TorchTensor extends TensorInfo {
  readonly dtype: NonNullable<TensorInfo['dtype']>;
  /** Elements between neighbours, one a dimension: a tensor may be a view of a part of its storage, and several may share one. */
  readonly strides: readonly number[];
}

/** Tensors that `torch.save` wrote to one file, or to several with an index; opened by {@link openTorchFile}. */
export class TorchFile extends TensorFile<StoredView> {
  /**
   * The plain values beside the tensors, such as `epoch`, under names as the tensors have. Bytes are text in which each character is one,
   * dtypes and other constants are text.
   */
  readonly scalars: ReadonlyMap<string, TorchScalar>;

  /** @internal */
  constructor(opened: string, parts: readonly TorchPart[], owners: ReadonlyMap<string, TorchPart>) {
    super(opened, parts, owners, (file, name) => new TorchFileError(file, quote(name), 'is in another file as well'));
    this.scalars = new Map(parts.flatMap((part) => [...part.scalars]));
  }

  /** What a tensor is, from the pickle alone. */
  override info(name: string): TorchTensor {
    const { part, entry } = this.find(name);
    const { dtype, shape, strides } = entry;
    return { dtype, shape, strides, bytes: entry.numel * itemSize(dtype), file: part.file };
  }
}

/** The names under which Hugging Face's libraries look for such weights in a folder. */
export const TORCH_NAMES = ['pytorch_model.bin', 'pytorch_model.bin.index.json'] as const;

/**
 * Opens a file of `torch.save` (`.pth`, `.pt`, `.bin`), the index of several (`….index.json`), or a folder with `pytorch_model.bin` or
 * `pytorch_model.bin.index.json`. Its pickle is read by a reader of its own that runs no code: a pickle that names anything but tensors
 * and plain values is refused. The data is mapped, not read.
 *
 * A tensor's name is the keys on the way to it, joined by dots: `model.query_tokens` in `{'model': {'query_tokens': …}}`; the name of a
 * lone tensor is empty. Tensors that shared memory when they were saved share it again, unless the file is of the format before 1.6
 * and has them at places that do not fit their dtype.
 *
 * @throws TorchFileError when a file or the index is not what it should be.
 * @throws FileError when there is no such file.
 */
export function openTorchFile(source: string): TorchFile {
  const file = locate(source, TORCH_NAMES);
  if (!file.endsWith('.json')) return new TorchFile(source, [new TorchPart(file)], new Map());
  const { parts, owners } = openShards(file, {
    suffix: '.bin',
    open: (part) => new TorchPart(part),
    fail: (at, field, problem) => new TorchFileError(at, field, problem),
  });
  return new TorchFile(source, parts, owners);
}

/**
 * Every tensor of a file, index or folder of `torch.save`, by name, over the mapped pages (see {@link openTorchFile}).
 *
 * @throws TorchFileError
 */
export function loadTorchFile(source: string): Map<string, Tensor> {
  return loadAll(openTorchFile(source));
}

import { type Dtype, itemSize } from '../dtype.ts';
import type { Failure } from '../mapped-pages.ts';
import { quote } from '../tensor-file.ts';
import { Global, Opaque, type Value } from './pickle.ts';

/** libtorch's kernels iterate over at most so many dimensions. */
const MAX_DIMS = 64;

/** A dtype, as `torch.float32`. */
export class DtypeGlobal extends Global {
  readonly dtype: Dtype;

  constructor(dtype: Dtype) {
    super(`torch.${dtype}`);
    this.dtype = dtype;
  }
}

/** A class of storages, as `torch.FloatStorage`; without a dtype those that are nothing but bytes. */
export class StorageGlobal extends Global {
  readonly dtype: Dtype | null;

  constructor(name: string, dtype: Dtype | null) {
    super(name);
    this.dtype = dtype;
  }
}

/** Memory that tensors share: a stretch of the file. */
export class StoredStorage extends Opaque {
  readonly key: string;
  readonly dtype: Dtype | null;
  readonly elements: number;
  /** Where it begins in the file; null until that is known. */
  position: number | null;

  constructor(key: string, dtype: Dtype | null, elements: number, position: number | null) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.elements = elements;
    this.position = position;
  }

  get bytes(): number {
    return this.elements * (this.dtype === null ? 1 : itemSize(this.dtype));
  }

  override describe(): string {
    return `the storage ${quote(this.key)}`;
  }
}

/** A tensor: a strided view of a storage. Sizes, strides and offset are counted in elements, and lie inside the storage. */
export class StoredView extends Opaque {
  readonly storage: StoredStorage;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;

  constructor(storage: StoredStorage, dtype: Dtype, shape: readonly number[], strides: readonly number[], offset: number) {
    super();
    this.storage = storage;
    this.dtype = dtype;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
  }

  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** Elements from the first to the last, both included. */
  get span(): number {
    return this.numel === 0 ? 0 : this.shape.reduce((sum, size, i) => sum + (size - 1) * (this.strides[i] as number), 1);
  }

  get isContiguous(): boolean {
    if (this.numel === 0) return true;
    let expected = 1;
    for (let i = this.shape.length - 1; i >= 0; i--) {
      if (this.shape[i] !== 1 && this.strides[i] !== expected) return false;
      expected *= this.shape[i] as number;
    }
    return true;
  }

  override describe(): string {
    return 'a tensor';
  }
}

/** The view that a pickle asks for, checked. `dtype` is that of the storage unless told. */
export function viewOf(args: readonly Value[], fail: Failure, dtype?: Value): StoredView {
  const [storage, offset, shape, strides] = args;
  if (!(storage instanceof StoredStorage)) throw fail('expected a tensor to have a storage');
  const type = dtype === undefined ? storage.dtype : dtype instanceof DtypeGlobal ? dtype.dtype : null;
  if (type === null) throw fail('expected a tensor to have a dtype');
  const sizes = whole(shape, 'sizes', fail);
  const steps = whole(strides, 'strides', fail);
  if (steps.length !== sizes.length)
    throw fail(`expected as many strides as the ${sizes.length} sizes but received ${steps.length}`);
  const [first] = whole([offset ?? null], 'an offset', fail) as [number];
  const width = itemSize(type);
  const most = sizes.reduce((product, size) => product * Math.max(size, 1), width); // exact as far as it is used: up to 2⁵³
  if (most > Number.MAX_SAFE_INTEGER) throw fail(`expected a tensor of at most 2⁵³ bytes but received the sizes ${sizes}`);
  const view = new StoredView(storage, type, sizes, steps, first);
  if ((first + view.span) * width > storage.bytes && view.numel > 0) {
    const came = `sizes [${sizes}], strides [${steps}] and offset ${first}`;
    throw fail(`expected a tensor inside the ${storage.bytes} bytes of ${storage.describe()} but received ${came} of ${type}`);
  }
  return view;
}

function whole(value: Value | undefined, what: string, fail: Failure): number[] {
  const bad = (): Error => fail(`expected ${what} of a tensor as whole numbers from 0, at most ${MAX_DIMS} of them`);
  if (!Array.isArray(value) || value.length > MAX_DIMS) throw bad();
  return value.map((number) => {
    if (!Number.isSafeInteger(number) || (number as number) < 0) throw bad();
    return number as number;
  });
}

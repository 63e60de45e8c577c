import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { call, callSpread, native, operator } from './dispatch.ts';
import { type Dtype, dtypeName } from './dtype.ts';
import { type Owner, release, setOwnerTest, track } from './lifetime.ts';
import type { Tensor } from './tensor.ts';

/** A device: `'cpu'`, `'meta'`, `'cuda'` or `'cuda:1'`. */
export type Device = 'cpu' | 'meta' | 'cuda' | `cuda:${number}`;

/** What `new Tensor` is at run time; set by tensor.ts, below which the operator files lie. */
let Bare: new (handle: number) => Tensor;
/** @internal */
export function setTensorConstructor(bare: typeof Bare): void {
  Bare = bare;
}

/** @internal A tensor object of a handle that the addon just gave; the innermost scope, or else the garbage collector, owns it. */
export function wrap(handle: number): Tensor {
  const tensor = new Bare(handle);
  track(tensor);
  return tensor;
}

/** @internal The same for several results. */
export function wrapAll(handles: readonly number[]): Tensor[] {
  return handles.map(wrap);
}

/** @internal Calls an operator that returns one tensor. */
export function run(op: number, ...values: readonly unknown[]): Tensor {
  return wrap(call(op, ...values));
}

/** @internal The same, with the operator's first list of integers as the rest of the values. */
export function runSpread(op: number, ...values: readonly unknown[]): Tensor {
  return wrap(callSpread(op, ...values));
}

/**
 * @internal The handles of a list of tensors. As everywhere in the operators, `?.` lets what is no tensor through to the addon, whose
 * error names the operator and the argument.
 */
export function handlesOf(tensors: readonly TensorBase[], argument = 'tensors'): number[] {
  if (!Array.isArray(tensors)) throw new ArgumentError(argument, 'an array of tensors', describe(tensors));
  return tensors.map((tensor) => tensor?.handle);
}

/** @internal The handle of a tensor that may be left out; anything else would count as left out, too. */
export function handleOrNull(tensor: TensorBase | null | undefined, argument: string): number | null {
  if (tensor === null || tensor === undefined) return null;
  if (!(tensor instanceof TensorBase)) throw new ArgumentError(argument, 'a tensor, or none', describe(tensor));
  return tensor.handle;
}

/**
 * @internal Refuses what is no tensor where a function's first step is not an operator, whose own error would do: by their names, in place
 * of a TypeError that names none.
 */
export function checkTensors(tensors: { readonly [argument: string]: unknown }): void {
  for (const [argument, tensor] of Object.entries(tensors)) {
    if (!(tensor instanceof TensorBase)) throw new ArgumentError(argument, 'a tensor', describe(tensor));
  }
}

/** @internal The same for what may be left out. */
export function checkOptionalTensors(tensors: { readonly [argument: string]: unknown }): void {
  for (const [argument, tensor] of Object.entries(tensors)) {
    if (tensor !== undefined && tensor !== null) checkTensors({ [argument]: tensor });
  }
}

/** @internal What was received, for an error message. */
export function describe(value: unknown): string {
  if (value instanceof TensorBase) return value.isFreed ? 'a freed tensor' : `a tensor [${value.shape.join(', ')}]`;
  if (typeof value === 'string') return `the string "${value}"`;
  if (typeof value === 'number') return `the number ${value}`;
  return Array.isArray(value) ? `an array of ${value.length}` : value === null ? 'null' : `a value of type ${typeof value}`;
}

/** @internal Gives a new tensor object its fields. */
export function initialise(tensor: TensorBase, handle: number): void {
  tensor.handle = handle;
  tensor.net = null;
  tensor.knownShape = null;
  tensor.knownDtype = null;
}

/** What a tensor is, without its operators: handle, dtype, shape, device, lifetime. */
export abstract class TensorBase implements Owner {
  /** @internal The slot in the addon's table; 0 once freed. */
  declare handle: number;
  /** @internal See lifetime.ts. */
  declare net: { handle: number } | null;
  /** @internal */
  declare knownShape: readonly number[] | null;
  /** @internal */
  declare knownDtype: Dtype | null;

  /** @internal */
  constructor(handle: number) {
    initialise(this, handle);
  }

  /** Sizes, outermost first; frozen. */
  get shape(): readonly number[] {
    if (this.handle === 0) return native(() => addon.shape(0));
    this.knownShape ??= Object.freeze(native(() => addon.shape(this.handle)));
    return this.knownShape;
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /**
   * The size of one dimension; negative counts from the end.
   * @throws ArgumentError when there is no such dimension.
   */
  size(dim: number): number {
    const { shape } = this;
    if (typeof dim !== 'number') throw new ArgumentError('dim', 'a number', describe(dim));
    const size = shape[dim < 0 ? dim + shape.length : dim];
    if (size === undefined) throw new ArgumentError('dim', `a dimension of a tensor that has ${shape.length}`, describe(dim));
    return size;
  }

  /** The elements' number format. */
  get dtype(): Dtype {
    if (this.handle === 0) native(() => addon.dtype(0));
    this.knownDtype ??= dtypeName(native(() => addon.dtype(this.handle)));
    return this.knownDtype;
  }

  /** Where the elements lie; `'cuda:0'` rather than `'cuda'`. */
  get device(): Device {
    return native(() => addon.device(this.handle)) as Device;
  }

  /** Elements (not bytes) between neighbours, one a dimension. */
  get strides(): readonly number[] {
    return native(() => addon.strides(this.handle));
  }

  /** Whether the elements lie in row-major order, without gaps. */
  get isContiguous(): boolean {
    return native(() => addon.isContiguous(this.handle));
  }

  /** Whether the tensor has been disposed of, or its scope has ended. */
  get isFreed(): boolean {
    return this.handle === 0;
  }

  /** @internal Forgets what is cached, after something changed the tensor under its handle. */
  refresh(): void {
    this.knownShape = null;
    this.knownDtype = null;
  }

  /** Frees the tensor now. Doing it twice is harmless; using the tensor afterwards is a {@link TensorFreedError}. */
  dispose(): void {
    release(this);
  }

  /** Lets `using x = …` free the tensor at the end of its block. */
  [Symbol.dispose](): void {
    release(this);
  }
}

setOwnerTest((value): value is Owner => value instanceof TensorBase);

const DETACH = operator('detach');

/** @internal A new handle of the tensor's data, outside any graph and owned by no tensor object yet. */
export function detachedHandle(tensor: TensorBase): number {
  return call(DETACH, tensor?.handle);
}

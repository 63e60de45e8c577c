import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { type Device, handleOrNull, initialise, setTensorConstructor, wrap } from './base.ts';
import { checkObject, checkOptions } from './check.ts';
import { call, native, operator } from './dispatch.ts';
import { type Dtype, dtypeCode } from './dtype.ts';
import { Linalg } from './ops/linalg.ts';
import { format } from './print.ts';

const TO = operator('_to_copy');

/** A typed array that holds a tensor's elements; float16 and bfloat16 come as their bits in a Uint16Array, 4-bit floats two in a byte. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** Numbers nested as deep as the tensor has dimensions. */
export type NestedArray<T> = T | readonly NestedArray<T>[];

const ARRAYS: Partial<Record<Dtype, new (length: number) => TypedArray>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float4_e2m1fn_x2: Uint8Array,
};

/** Optimizers' kernels take a gradient to be as its tensor is, and do not ask. */
function checkGradient(tensor: Tensor, gradient: Tensor): void {
  const facts = ({ dtype, shape, device }: Tensor): string => `a tensor ${dtype} [${shape.join(', ')}] on ${device}`;
  if (facts(gradient) !== facts(tensor)) throw new ArgumentError('grad', facts(tensor), facts(gradient));
}

/** What `make` makes; a tensor of more elements than JavaScript has an array for is an error of ours. */
function room<T>(tensor: Tensor, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new ArgumentError('tensor', 'as many elements as an array holds', `[${tensor.shape.join(', ')}]`, { cause });
  }
}

/**
 * An n-dimensional array on a device, backed by a libtorch tensor. Operators are methods and never change their operands, except those
 * whose names end in `_`. Memory is freed by the enclosing {@link scope}, by {@link dispose} (or `using`), or, at the latest, by
 * the garbage collector.
 */
export class Tensor extends Linalg {
  /** A copy in another dtype or on another device; the tensor itself where nothing changes. */
  to(options: Dtype | { dtype?: Dtype; device?: Device }): Tensor {
    if (typeof options !== 'string') checkOptions(options);
    const { dtype, device } = typeof options === 'string' ? { dtype: options, device: undefined } : options;
    const sameDtype = dtype === undefined || dtype === this.dtype;
    const sameDevice = device === undefined || (device === 'cuda' ? 'cuda:0' : device) === this.device;
    if (sameDtype && sameDevice) return this;
    return wrap(call(TO, this.handle, dtype === undefined ? null : dtypeCode(dtype), null, device ?? null));
  }
  /** In float32. */
  float(): Tensor {
    return this.to('float32');
  }
  /** In int64, fractions cut off. */
  long(): Tensor {
    return this.to('int64');
  }
  /** Whether each element is not zero. */
  bool(): Tensor {
    return this.to('bool');
  }

  /** The one element, as a number: of an int64 beyond 2⁵³ the nearest, of a boolean 0 or 1. Waits for the device. */
  item(): number {
    return Number(native(() => addon.item(this.handle)));
  }
  /** The one element of an integer tensor, exactly. Waits for the device. */
  itemBigInt(): bigint {
    const value = native(() => addon.item(this.handle));
    if (typeof value === 'number' && !Number.isInteger(value)) throw new ArgumentError('tensor', 'an integer', String(value));
    return BigInt(value);
  }

  /** The elements in row-major order, copied; of 8-bit floats as float32. Waits for the device. */
  data(): TypedArray {
    const make = ARRAYS[this.dtype];
    if (make === undefined) {
      if (this.dtype.startsWith('complex')) throw new ArgumentError('tensor', 'real elements (see view_as_real)', this.dtype);
      const wider = this.to('float32');
      try {
        return wider.data();
      } finally {
        wider.dispose();
      }
    }
    const out = room(this, () => new make(this.numel));
    native(() => addon.copyTo(this.handle, out));
    return out;
  }

  /** The elements as nested arrays of numbers: of booleans 0 and 1, of int64 beyond 2⁵³ the nearest ({@link data} is exact). Waits for the device. */
  toArray(): NestedArray<number> {
    if (this.dtype === 'float4_e2m1fn_x2') throw new ArgumentError('tensor', 'one number in an element (see data)', this.dtype);
    const half = this.dtype === 'float16' || this.dtype === 'bfloat16';
    const wide = half ? this.to('float32') : this;
    const flat = wide.data();
    if (half) wide.dispose();
    const { shape } = this;
    let next = 0;
    const nest = (dim: number): NestedArray<number> =>
      dim === shape.length ? Number(flat[next++]) : Array.from({ length: shape[dim] as number }, () => nest(dim + 1));
    return room(this, () => nest(0));
  }

  // ---- gradients ----

  /** Whether gradients flow to or through the tensor. */
  get requiresGrad(): boolean {
    return native(() => addon.requiresGrad(this.handle));
  }
  /** Asks for gradients (of a leaf), or no longer. */
  requiresGrad_(requiresGrad = true): this {
    native(() => addon.setRequiresGrad(this.handle, requiresGrad));
    return this;
  }
  /** Whether no operator of a graph made the tensor. */
  get isLeaf(): boolean {
    return native(() => addon.isLeaf(this.handle));
  }
  /** The gradient that `backward` accumulated, or null. Each read is a new tensor object of the same gradient. */
  get grad(): Tensor | null {
    const handle = native(() => addon.gradOf(this.handle));
    return handle === null ? null : wrap(handle);
  }
  set grad(gradient: Tensor | null) {
    const handle = handleOrNull(gradient, 'grad');
    if (gradient !== null && gradient !== undefined) checkGradient(this, gradient);
    native(() => addon.setGrad(this.handle, handle));
  }
  /** Adds d self / d leaf to every leaf's `grad`; self must have one element unless `gradient` is given. */
  backward(gradient: Tensor | null = null, options: { retainGraph?: boolean; createGraph?: boolean } = {}): void {
    checkObject(options);
    const create = options.createGraph ?? false;
    const seed = handleOrNull(gradient, 'gradient');
    const handles = seed === null ? null : [seed];
    native(() => addon.backward([this.handle], handles, options.retainGraph ?? create, create, null));
  }

  /** @internal Takes over the data, dtype and device of another tensor, under the same handle. */
  setData(data: Tensor): void {
    native(() => addon.setData(this.handle, data?.handle));
    this.refresh();
  }

  /** As PyTorch prints it. */
  override toString(): string {
    return format(this);
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.isFreed ? 'tensor(freed)' : this.toString();
  }
}

// `new Tensor` without the chain of constructors above it, whose way costs as much as a twentieth of a small operator.
const Bare = function Tensor(this: Tensor, handle: number): void {
  initialise(this, handle);
} as unknown as new (
  handle: number,
) => Tensor;
Object.defineProperty(Bare, 'prototype', { value: Tensor.prototype });

setTensorConstructor(Bare);

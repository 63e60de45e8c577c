import { markAsUntransferable } from 'node:worker_threads';
import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { type Device, run, wrap } from './base.ts';
import { checkOptions, kindOf } from './check.ts';
import { native, operator } from './dispatch.ts';
import { type Dtype, dtypeCode } from './dtype.ts';
import type { NestedArray, Tensor, TypedArray } from './tensor.ts';

const EMPTY = operator('empty.memory_format');
const ZEROS = operator('zeros');
const ONES = operator('ones');
const FULL = operator('full');
const ARANGE = operator('arange.start_step');
const LINSPACE = operator('linspace');
const EYE = operator('eye');
const EMPTY_LIKE = operator('empty_like');
const ZEROS_LIKE = operator('zeros_like');
const ONES_LIKE = operator('ones_like');
const FULL_LIKE = operator('full_like');

/** Where a new tensor lies and what it holds. */
export interface TensorOptions {
  /** `'float32'` unless told. */
  dtype?: Dtype;
  /** `'cpu'` unless told. */
  device?: Device;
}

function type(options: TensorOptions, otherwise: Dtype = 'float32'): number {
  checkOptions(options);
  return dtypeCode(options.dtype ?? otherwise);
}

/** Uninitialised memory. */
export function empty(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return run(EMPTY, shape, type(options), null, options.device ?? null);
}
/** A tensor of zeros. */
export function zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return run(ZEROS, shape, type(options), null, options.device ?? null);
}
/** A tensor of ones. */
export function ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return run(ONES, shape, type(options), null, options.device ?? null);
}
/** A tensor whose every element is `value`; a BigInt where a number could not hold it. */
export function full(shape: readonly number[], value: number | bigint, options: TensorOptions = {}): Tensor {
  return run(FULL, shape, value, type(options), null, options.device ?? null);
}
/** start, start + step, … below end; int64 unless told. */
export function arange(start: number, end: number, step = 1, options: TensorOptions = {}): Tensor {
  return run(ARANGE, start, end, step, type(options, 'int64'), null, options.device ?? null);
}
/** `steps` values in even steps from `start` to `end`, both included. */
export function linspace(start: number, end: number, steps: number, options: TensorOptions = {}): Tensor {
  return run(LINSPACE, start, end, steps, type(options), null, options.device ?? null);
}
/** The identity matrix, `[n, n]`. */
export function eye(n: number, options: TensorOptions = {}): Tensor {
  return run(EYE, n, type(options), null, options.device ?? null);
}
/** Uninitialised memory with another tensor's shape, dtype and device. */
export function emptyLike(like: Tensor): Tensor {
  return run(EMPTY_LIKE, like?.handle);
}
/** Zeros with another tensor's shape, dtype and device. */
export function zerosLike(like: Tensor): Tensor {
  return run(ZEROS_LIKE, like?.handle);
}
/** Ones with another tensor's shape, dtype and device. */
export function onesLike(like: Tensor): Tensor {
  return run(ONES_LIKE, like?.handle);
}

/** `value` everywhere, with the shape, dtype and device of another tensor. */
export function fullLike(like: Tensor, value: number): Tensor {
  return run(FULL_LIKE, like?.handle, value);
}

/** The dtype that a typed array holds, unless told otherwise. */
function dtypeOf(data: TypedArray): Dtype {
  if (data instanceof Uint8Array) return 'uint8'; // Buffer is one
  const dtype = NATURAL.get(Object.prototype.toString.call(data).slice(8, -1));
  if (dtype === undefined) throw new ArgumentError('data', 'a typed array', kindOf(data));
  return dtype;
}

const NATURAL = new Map<string, Dtype>([
  ['Float32Array', 'float32'],
  ['Float64Array', 'float64'],
  ['Int8Array', 'int8'],
  ['Uint8Array', 'uint8'],
  ['Uint8ClampedArray', 'uint8'],
  ['Int16Array', 'int16'],
  ['Uint16Array', 'uint16'],
  ['Int32Array', 'int32'],
  ['Uint32Array', 'uint32'],
  ['BigInt64Array', 'int64'],
  ['BigUint64Array', 'uint64'],
]);

/**
 * A tensor with a copy of a typed array's elements, in `shape` (one dimension unless told). With `dtype` `'float16'` or `'bfloat16'` a
 * Uint16Array holds the bits, with `'bool'` a Uint8Array zeros and ones, with a float
 * of 8 or 4 bits its bytes; any other dtype than the array's own is a cast.
 */
export function fromTypedArray(data: TypedArray, shape: readonly number[] = [data?.length], options: TensorOptions = {}): Tensor {
  checkOptions(options);
  const own = dtypeOf(data);
  const bits = reinterprets(own, options.dtype);
  const made = wrap(native(() => addon.fromData(data, shape, dtypeCode(bits ?? own))));
  const result = made.to(options);
  if (result !== made) made.dispose();
  return result;
}

/** The dtype under which the bytes are taken as they are, where that is not the array's own. */
function reinterprets(own: Dtype, wanted: Dtype | undefined): Dtype | undefined {
  if (own === 'uint16' && (wanted === 'float16' || wanted === 'bfloat16')) return wanted;
  if (own === 'uint8' && (wanted === 'bool' || wanted?.startsWith('float8') || wanted === 'float4_e2m1fn_x2')) return wanted;
  return undefined;
}

/**
 * A CPU tensor over the typed array's own memory, without a copy: what is written to one is seen in the other. The array lives as
 * long as the tensor does. Its buffer is marked as untransferable for good: `postMessage` and `structuredClone` copy or refuse it.
 */
export function wrapTypedArray(data: TypedArray, shape: readonly number[] = [data?.length], dtype?: Dtype): Tensor {
  const tensor = wrapped(data, shape, dtype, false);
  markAsUntransferable(data.buffer as ArrayBuffer);
  return tensor;
}

/**
 * The same, but the tensor takes the memory over: when it and its views are gone, the memory is freed there and then, and the array is empty,
 * instead of waiting for the garbage collector. An array that is only a part of its buffer stays.
 *
 * @internal No other tensor may share the array: it would be left without memory.
 */
export function takeTypedArray(data: TypedArray, shape: readonly number[] = [data?.length], dtype?: Dtype): Tensor {
  return wrapped(data, shape, dtype, data?.byteLength === data?.buffer?.byteLength);
}

function wrapped(data: TypedArray, shape: readonly number[], dtype: Dtype | undefined, take: boolean): Tensor {
  const own = dtypeOf(data);
  if (dtype !== undefined) dtypeCode(dtype);
  const { buffer } = data as { buffer: ArrayBufferLike & { resizable?: boolean; growable?: boolean } };
  if (buffer.resizable || buffer.growable) throw new ArgumentError('data', 'an array of fixed length', 'one that can be resized');
  if (dtype !== undefined && dtype !== own && reinterprets(own, dtype) === undefined) {
    throw new ArgumentError('dtype', `${own}, as the array holds`, dtype);
  }
  return wrap(native(() => addon.wrapData(data, shape, dtypeCode(dtype ?? own), take)));
}

/** As many dimensions as PyTorch's `tensor` takes; a deeper array most likely holds itself. */
const DEEPEST = 128;

/** A tensor of (nested arrays of) numbers or booleans; int64 if all are BigInts, bool if all are booleans, else float32, unless told. */
export function tensor(data: NestedArray<number | bigint | boolean>, options: TensorOptions = {}): Tensor {
  checkOptions(options);
  const shape: number[] = [];
  for (let level: unknown = data; Array.isArray(level); level = level[0]) {
    if (shape.length === DEEPEST) throw new ArgumentError('data', `arrays at most ${DEEPEST} deep`, 'deeper ones');
    shape.push(level.length);
  }
  const flat: (number | bigint | boolean)[] = [];
  const visit = (value: NestedArray<number | bigint | boolean>, depth: number): void => {
    if (Array.isArray(value)) {
      if (value.length !== shape[depth]) {
        throw new ArgumentError(
          'data',
          `${shape[depth] ?? 'no'} elements at depth ${depth}, as in the first`,
          String(value.length),
        );
      }
      for (const element of value) visit(element, depth + 1);
    } else if (depth === shape.length) {
      flat.push(value as number | bigint | boolean);
    } else {
      throw new ArgumentError('data', `arrays ${shape.length} deep throughout`, `a ${typeof value} at depth ${depth}`);
    }
  };
  visit(data, 0);
  const bad = flat.findIndex((value) => !['number', 'bigint', 'boolean'].includes(typeof value));
  if (bad >= 0) throw new ArgumentError('data', 'numbers, BigInts or booleans', kindOf(flat[bad]));
  const dtype = options.dtype ?? commonDtype(flat);
  checkRange(flat, dtype);
  const to = { ...options, dtype };
  if (dtype === 'int64') return fromTypedArray(BigInt64Array.from(flat, toBigInt), shape, to);
  if (dtype === 'uint64') return fromTypedArray(BigUint64Array.from(flat, toBigInt), shape, to);
  return fromTypedArray(Float64Array.from(flat, Number), shape, to);
}

function commonDtype(values: readonly (number | bigint | boolean)[]): Dtype {
  const kind = typeof values[0];
  if (kind === 'number' || kind === 'undefined' || values.some((value) => typeof value !== kind)) return 'float32';
  return kind === 'boolean' ? 'bool' : 'int64';
}

const BITS = /^(u?)int(\d+)$/;

/** Refuses numbers that an integer dtype cannot hold, which a cast would wrap around; fractions are cut off as in a cast. */
function checkRange(values: readonly (number | bigint | boolean)[], dtype: Dtype): void {
  const [, unsigned, bits] = BITS.exec(dtype) ?? [];
  if (bits === undefined) return;
  const least = unsigned === 'u' ? 0n : -(2n ** (BigInt(bits) - 1n));
  const beyond = least + 2n ** BigInt(bits);
  for (const value of values) {
    const whole = typeof value === 'number' ? Math.trunc(value) : BigInt(value);
    if (!(whole >= least && whole < beyond)) {
      throw new ArgumentError('data', `numbers from ${least} to ${beyond - 1n}, which ${dtype} holds`, String(value));
    }
  }
}

function toBigInt(value: number | bigint | boolean): bigint {
  if (typeof value === 'number' && !Number.isInteger(value)) throw new ArgumentError('data', 'integers', String(value));
  return BigInt(value);
}

import { addon } from '../../native/load.ts';
import { run, wrap } from '../base.ts';
import { callMany, operator } from '../dispatch.ts';
import { type Dtype, dtypeCode } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';
import { InPlace } from './inplace.ts';

const SUM = operator('sum');
const SUM_DIM = operator('sum.dim_IntList');
const MEAN = operator('mean');
const MEAN_DIM = operator('mean.dim');
const VAR = operator('var.correction');
const STD = operator('std.correction');
const PROD = operator('prod');
const MAX = operator('max');
const MIN = operator('min');
const MAX_DIM = operator('max.dim');
const MIN_DIM = operator('min.dim');
const AMAX = operator('amax');
const AMIN = operator('amin');
const ARGMAX = operator('argmax');
const ARGMIN = operator('argmin');
const ANY = operator('any');
const ANY_DIM = operator('any.dim');
const ALL = operator('all');
const ALL_DIM = operator('all.dim');
const CUMSUM = operator('cumsum');
const LOGSUMEXP = operator('logsumexp');
const SOFTMAX = operator('softmax.int');
const SAFE_SOFTMAX = operator('_safe_softmax');
const LOG_SOFTMAX = operator('log_softmax.int');
const NORM = operator('linalg_vector_norm');
const TOPK = operator('topk');
const SORT = operator('sort.stable');
const ARGSORT = operator('argsort.stable');
const SEARCHSORTED = operator('searchsorted.Tensor');
const ISIN = operator('isin.Tensor_Tensor');
const EQUAL = operator('equal');
const ALLCLOSE = operator('allclose');
const NONZERO = operator('nonzero');
const PROD_DIM = operator('prod.dim_int');
const NANSUM = operator('nansum');
const MEDIAN = operator('median');
const COUNT_NONZERO = operator('count_nonzero');
const CUMPROD = operator('cumprod');
const UNIQUE = operator('_unique2');
const BINCOUNT = operator('bincount');

/** One dimension or several; negative counts from the end. */
export type Dims = number | readonly number[];

/** Operators that fold dimensions, order elements, or ask about all of them. */
export abstract class Reduction extends InPlace {
  /** Over all elements, or along dimensions; of integers and booleans an int64. */
  sum(dim?: Dims, keepdim = false): Tensor {
    return dim === undefined ? run(SUM, this.handle) : run(SUM_DIM, this.handle, dim, keepdim);
  }
  /** Over all elements, or along dimensions. */
  mean(dim?: Dims, keepdim = false): Tensor {
    return dim === undefined ? run(MEAN, this.handle) : run(MEAN_DIM, this.handle, dim, keepdim);
  }
  /** Variance; `correction` 1 is the unbiased one, as in PyTorch. */
  var(dim: Dims | null = null, correction = 1, keepdim = false): Tensor {
    return run(VAR, this.handle, dim, correction, keepdim);
  }
  /** The square root of {@link var}. */
  std(dim: Dims | null = null, correction = 1, keepdim = false): Tensor {
    return run(STD, this.handle, dim, correction, keepdim);
  }
  /** The product of all elements, or along one dimension. */
  prod(dim?: number, keepdim = false): Tensor {
    return dim === undefined ? run(PROD, this.handle) : run(PROD_DIM, this.handle, dim, keepdim);
  }
  /** {@link sum} that passes over NaN. */
  nansum(dim: Dims | null = null, keepdim = false): Tensor {
    return run(NANSUM, this.handle, dim, keepdim);
  }
  /** The lower median of all elements. */
  median(): Tensor {
    return run(MEDIAN, this.handle);
  }
  /** How many elements are not zero. */
  countNonzero(): Tensor {
    return run(COUNT_NONZERO, this.handle);
  }
  /** Products of all up to each element of a dimension. */
  cumprod(dim: number): Tensor {
    return run(CUMPROD, this.handle, dim);
  }
  /** The distinct elements, sorted. */
  unique(): Tensor {
    const [values, inverse, counts] = callMany<[number, number, number]>(UNIQUE, this.handle, true, false, false);
    addon.free(inverse);
    addon.free(counts);
    return wrap(values);
  }
  /** How often each of 0 … max occurs among integers of at least 0. */
  bincount(minLength = 0): Tensor {
    return run(BINCOUNT, this.handle, null, minLength);
  }
  /** The largest element of all. See {@link amax} and {@link maxWithIndices} for dimensions. */
  max(): Tensor {
    return run(MAX, this.handle);
  }
  /** The smallest element of all. See {@link amin} and {@link minWithIndices} for dimensions. */
  min(): Tensor {
    return run(MIN, this.handle);
  }
  /** Largest elements along dimensions; the gradient is shared among equals. */
  amax(dim: Dims, keepdim = false): Tensor {
    return run(AMAX, this.handle, dim, keepdim);
  }
  /** Smallest elements along dimensions; the gradient is shared among equals. */
  amin(dim: Dims, keepdim = false): Tensor {
    return run(AMIN, this.handle, dim, keepdim);
  }
  /** Largest elements along one dimension and where they are; the gradient goes to the one that is named. */
  maxWithIndices(dim: number, keepdim = false): { values: Tensor; indices: Tensor } {
    return pair(MAX_DIM, this.handle, dim, keepdim);
  }
  /** Smallest elements along one dimension and where they are; the gradient goes to the one that is named. */
  minWithIndices(dim: number, keepdim = false): { values: Tensor; indices: Tensor } {
    return pair(MIN_DIM, this.handle, dim, keepdim);
  }
  /** Where the largest element is: along a dimension, or, without one, in row-major order. */
  argmax(dim: number | null = null, keepdim = false): Tensor {
    return run(ARGMAX, this.handle, dim, keepdim);
  }
  /** Where the smallest element is: along a dimension, or, without one, in row-major order. */
  argmin(dim: number | null = null, keepdim = false): Tensor {
    return run(ARGMIN, this.handle, dim, keepdim);
  }
  /** Whether some element is not zero, of all or along a dimension. */
  any(dim?: number, keepdim = false): Tensor {
    return dim === undefined ? run(ANY, this.handle) : run(ANY_DIM, this.handle, dim, keepdim);
  }
  /** Whether every element is not zero, of all or along a dimension. */
  all(dim?: number, keepdim = false): Tensor {
    return dim === undefined ? run(ALL, this.handle) : run(ALL_DIM, this.handle, dim, keepdim);
  }
  /** Sums of all up to each element of a dimension. */
  cumsum(dim: number): Tensor {
    return run(CUMSUM, this.handle, dim);
  }
  /** log Σ exp(x) along dimensions, without overflow. */
  logsumexp(dim: Dims, keepdim = false): Tensor {
    return run(LOGSUMEXP, this.handle, dim, keepdim);
  }
  /** exp(x) / Σ exp(x) along `dim`, computed in `dtype` where one is given. */
  softmax(dim: number, dtype?: Dtype): Tensor {
    return run(SOFTMAX, this.handle, dim, dtype === undefined ? null : dtypeCode(dtype));
  }
  /** Softmax that gives zeros, not NaN, where everything along `dim` is −∞. */
  safeSoftmax(dim: number): Tensor {
    return run(SAFE_SOFTMAX, this.handle, dim);
  }
  /** log of {@link softmax}, without underflow; computed in `dtype` where one is given. */
  logSoftmax(dim: number, dtype?: Dtype): Tensor {
    return run(LOG_SOFTMAX, this.handle, dim, dtype === undefined ? null : dtypeCode(dtype));
  }
  /** The vector p-norm (2 unless told), over all elements or along dimensions. */
  norm(p = 2, dim: Dims | null = null, keepdim = false): Tensor {
    return run(NORM, this.handle, p, dim, keepdim);
  }
  /** The k largest (or smallest) along `dim` and where they are. */
  topk(k: number, dim = -1, largest = true, sorted = true): { values: Tensor; indices: Tensor } {
    return pair(TOPK, this.handle, k, dim, largest, sorted);
  }
  /** Sorted along `dim`; equals keep their order. */
  sort(dim = -1, descending = false): { values: Tensor; indices: Tensor } {
    return pair(SORT, this.handle, true, dim, descending);
  }
  /** The positions that {@link sort} would move the elements from. */
  argsort(dim = -1, descending = false): Tensor {
    return run(ARGSORT, this.handle, true, dim, descending);
  }
  /** Where in self, ascending along its last dimension, each of `values` belongs: before its equals, or with `right` after them. */
  searchsorted(values: Tensor, right = false): Tensor {
    return run(SEARCHSORTED, this.handle, values?.handle, false, right);
  }
  /** Whether each element is one of `elements`. */
  isin(elements: Tensor): Tensor {
    return run(ISIN, this.handle, elements?.handle);
  }
  /** Indices of the elements that are not zero, one a row. */
  nonzero(): Tensor {
    return run(NONZERO, this.handle);
  }
  /** Whether both have the same shape and elements. */
  equal(other: Tensor): boolean {
    return callMany<boolean>(EQUAL, this.handle, other?.handle);
  }
  /** Whether |self − other| ≤ atol + rtol·|other| everywhere. */
  allclose(other: Tensor, rtol = 1e-5, atol = 1e-8): boolean {
    return callMany<boolean>(ALLCLOSE, this.handle, other?.handle, rtol, atol);
  }
}

function pair(op: number, ...values: readonly unknown[]): { values: Tensor; indices: Tensor } {
  const [first, second] = callMany<[number, number]>(op, ...values);
  return { values: wrap(first), indices: wrap(second) };
}

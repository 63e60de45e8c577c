import { run, wrap } from '../base.ts';
import { callMany, operator } from '../dispatch.ts';
import { type Dtype, dtypeCode } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';
import { Elementwise } from './elementwise.ts';

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

/** One dimension or several; negative counts from the end. */
export type Dims = number | readonly number[];

/** Operators that fold dimensions, order elements, or ask about all of them. */
export abstract class Reduction extends Elementwise {
  sum(dim?: Dims, keepdim = false): Tensor {
    return dim === undefined ? run(SUM, this.handle) : run(SUM_DIM, this.handle, dim, keepdim);
  }
  mean(dim?: Dims, keepdim = false): Tensor {
    return dim === undefined ? run(MEAN, this.handle) : run(MEAN_DIM, this.handle, dim, keepdim);
  }
  /** Variance; `correction` 1 is the unbiased one, as in PyTorch. */
  var(dim: Dims | null = null, correction = 1, keepdim = false): Tensor {
    return run(VAR, this.handle, dim, correction, keepdim);
  }
  std(dim: Dims | null = null, correction = 1, keepdim = false): Tensor {
    return run(STD, this.handle, dim, correction, keepdim);
  }
  prod(): Tensor {
    return run(PROD, this.handle);
  }
  /** The largest element of all. See {@link amax} and {@link maxWithIndices} for dimensions. */
  max(): Tensor {
    return run(MAX, this.handle);
  }
  min(): Tensor {
    return run(MIN, this.handle);
  }
  /** Largest elements along dimensions; the gradient is shared among equals. */
  amax(dim: Dims, keepdim = false): Tensor {
    return run(AMAX, this.handle, dim, keepdim);
  }
  amin(dim: Dims, keepdim = false): Tensor {
    return run(AMIN, this.handle, dim, keepdim);
  }
  /** Largest elements along one dimension and where they are; the gradient goes to the one that is named. */
  maxWithIndices(dim: number, keepdim = false): { values: Tensor; indices: Tensor } {
    return pair(MAX_DIM, this.handle, dim, keepdim);
  }
  minWithIndices(dim: number, keepdim = false): { values: Tensor; indices: Tensor } {
    return pair(MIN_DIM, this.handle, dim, keepdim);
  }
  argmax(dim: number | null = null, keepdim = false): Tensor {
    return run(ARGMAX, this.handle, dim, keepdim);
  }
  argmin(dim: number | null = null, keepdim = false): Tensor {
    return run(ARGMIN, this.handle, dim, keepdim);
  }
  any(dim?: number, keepdim = false): Tensor {
    return dim === undefined ? run(ANY, this.handle) : run(ANY_DIM, this.handle, dim, keepdim);
  }
  all(dim?: number, keepdim = false): Tensor {
    return dim === undefined ? run(ALL, this.handle) : run(ALL_DIM, this.handle, dim, keepdim);
  }
  cumsum(dim: number): Tensor {
    return run(CUMSUM, this.handle, dim);
  }
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
  logSoftmax(dim: number, dtype?: Dtype): Tensor {
    return run(LOG_SOFTMAX, this.handle, dim, dtype === undefined ? null : dtypeCode(dtype));
  }
  /** The vector p-norm (2 unless told), over all elements or along dimensions. */
  norm(p = 2, dim: Dims | null = null, keepdim = false): Tensor {
    return run(NORM, this.handle, p, dim, keepdim);
  }
  topk(k: number, dim = -1, largest = true, sorted = true): { values: Tensor; indices: Tensor } {
    return pair(TOPK, this.handle, k, dim, largest, sorted);
  }
  /** Sorted along `dim`; equals keep their order. */
  sort(dim = -1, descending = false): { values: Tensor; indices: Tensor } {
    return pair(SORT, this.handle, true, dim, descending);
  }
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

import { handlesOf, run } from '../base.ts';
import { operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';
import { Indexing } from './indexing.ts';

const MATMUL = operator('matmul');
const BMM = operator('bmm');
const BADDBMM = operator('baddbmm');
const ADDMM = operator('addmm');
const EINSUM = operator('einsum');
const OUTER = operator('outer');
const MM = operator('mm');
const DOT = operator('dot');
const T = operator('t');

/** Products of matrices. */
export abstract class Linalg extends Indexing {
  /** Matrix product over the last two dimensions; the others broadcast. */
  matmul(other: Tensor): Tensor {
    return run(MATMUL, this.handle, other?.handle);
  }
  /** Matrix product of two matrices. */
  mm(other: Tensor): Tensor {
    return run(MM, this.handle, other?.handle);
  }
  /** Inner product of two vectors. */
  dot(other: Tensor): Tensor {
    return run(DOT, this.handle, other?.handle);
  }
  /** The transpose of a matrix, a view. */
  t(): Tensor {
    return run(T, this.handle);
  }
  /** Matrix products of a batch: `[B, n, m]` and `[B, m, p]`. */
  bmm(other: Tensor): Tensor {
    return run(BMM, this.handle, other?.handle);
  }
  /** beta·self + alpha·(a @ b), batched. */
  baddbmm(a: Tensor, b: Tensor, beta = 1, alpha = 1): Tensor {
    return run(BADDBMM, this.handle, a?.handle, b?.handle, beta, alpha);
  }
  /** beta·self + alpha·(a @ b). */
  addmm(a: Tensor, b: Tensor, beta = 1, alpha = 1): Tensor {
    return run(ADDMM, this.handle, a?.handle, b?.handle, beta, alpha);
  }
  /** All products of the elements of two vectors. */
  outer(other: Tensor): Tensor {
    return run(OUTER, this.handle, other?.handle);
  }
}

/** Einstein summation: `einsum('bqd,td->bqt', [a, b])`. */
export function einsum(equation: string, tensors: readonly Tensor[]): Tensor {
  return run(EINSUM, equation, handlesOf(tensors));
}

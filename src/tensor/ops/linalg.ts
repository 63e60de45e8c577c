import { run } from '../base.ts';
import { operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';
import { Shape } from './shape.ts';

const MATMUL = operator('matmul');
const BMM = operator('bmm');
const BADDBMM = operator('baddbmm');
const ADDMM = operator('addmm');
const EINSUM = operator('einsum');
const OUTER = operator('outer');

/** Products of matrices. */
export abstract class Linalg extends Shape {
  /** Matrix product over the last two dimensions; the others broadcast. */
  matmul(other: Tensor): Tensor {
    return run(MATMUL, this.handle, other?.handle);
  }
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
  outer(other: Tensor): Tensor {
    return run(OUTER, this.handle, other?.handle);
  }
}

/** Einstein summation: `einsum('bqd,td->bqt', [a, b])`. */
export function einsum(equation: string, tensors: readonly Tensor[]): Tensor {
  return run(
    EINSUM,
    equation,
    tensors.map((tensor) => tensor?.handle),
  );
}

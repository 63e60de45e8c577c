import { run, TensorBase } from '../base.ts';
import { operator } from '../dispatch.ts';
import type { Tensor } from '../tensor.ts';

const EQ = operator('eq.Tensor');
const EQ_SCALAR = operator('eq.Scalar');
const NE = operator('ne.Tensor');
const NE_SCALAR = operator('ne.Scalar');
const LT = operator('lt.Tensor');
const LT_SCALAR = operator('lt.Scalar');
const LE = operator('le.Tensor');
const LE_SCALAR = operator('le.Scalar');
const GT = operator('gt.Tensor');
const GT_SCALAR = operator('gt.Scalar');
const GE = operator('ge.Tensor');
const GE_SCALAR = operator('ge.Scalar');
const LOGICAL_AND = operator('logical_and');
const LOGICAL_OR = operator('logical_or');
const LOGICAL_NOT = operator('logical_not');
const ISFINITE = operator('isfinite');
const ISNAN = operator('isnan');
const ISINF = operator('isinf');
const LOGICAL_XOR = operator('logical_xor');
const BITWISE_AND = operator('bitwise_and.Tensor');
const BITWISE_OR = operator('bitwise_or.Tensor');
const BITWISE_XOR = operator('bitwise_xor.Tensor');
const BITWISE_NOT = operator('bitwise_not');

/** Questions about each element, answered with booleans, and their combination; with broadcasting. */
export abstract class Comparison extends TensorBase {
  /** self = other, as booleans. */
  eq(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(EQ_SCALAR, this.handle, other) : run(EQ, this.handle, other?.handle);
  }
  /** self ≠ other, as booleans. */
  ne(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(NE_SCALAR, this.handle, other) : run(NE, this.handle, other?.handle);
  }
  /** self < other, as booleans. */
  lt(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(LT_SCALAR, this.handle, other) : run(LT, this.handle, other?.handle);
  }
  /** self ≤ other, as booleans. */
  le(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(LE_SCALAR, this.handle, other) : run(LE, this.handle, other?.handle);
  }
  /** self > other, as booleans. */
  gt(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(GT_SCALAR, this.handle, other) : run(GT, this.handle, other?.handle);
  }
  /** self ≥ other, as booleans. */
  ge(other: Tensor | number): Tensor {
    return typeof other === 'number' ? run(GE_SCALAR, this.handle, other) : run(GE, this.handle, other?.handle);
  }
  /** Where both are not zero. */
  logicalAnd(other: Tensor): Tensor {
    return run(LOGICAL_AND, this.handle, other?.handle);
  }
  /** Where one of both is not zero. */
  logicalOr(other: Tensor): Tensor {
    return run(LOGICAL_OR, this.handle, other?.handle);
  }
  /** Where exactly one of both is not zero. */
  logicalXor(other: Tensor): Tensor {
    return run(LOGICAL_XOR, this.handle, other?.handle);
  }
  /** Where self is zero. */
  logicalNot(): Tensor {
    return run(LOGICAL_NOT, this.handle);
  }
  /** Of the bits of integers, or of booleans. */
  bitwiseAnd(other: Tensor): Tensor {
    return run(BITWISE_AND, this.handle, other?.handle);
  }
  /** Of the bits of integers, or of booleans. */
  bitwiseOr(other: Tensor): Tensor {
    return run(BITWISE_OR, this.handle, other?.handle);
  }
  /** Of the bits of integers, or of booleans. */
  bitwiseXor(other: Tensor): Tensor {
    return run(BITWISE_XOR, this.handle, other?.handle);
  }
  /** Of the bits of integers, or of booleans. */
  bitwiseNot(): Tensor {
    return run(BITWISE_NOT, this.handle);
  }
  /** Whether each element is neither infinite nor NaN. */
  isfinite(): Tensor {
    return run(ISFINITE, this.handle);
  }
  /** Whether each element is infinite. */
  isinf(): Tensor {
    return run(ISINF, this.handle);
  }
  /** Whether each element is NaN. */
  isnan(): Tensor {
    return run(ISNAN, this.handle);
  }
}
